//! Headers that are edited and asked for afterwards.
//!
//! The old programs edited a message when it left, so that a question behind an edit was answered from the message as it
//! had come. Here an edit is seen at once; such a question is asked at the head of its route, before the edit.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dialect::Dialect;
use super::super::finding::Code;
use super::super::text;
use super::super::tree::{Block, Call, Expr, Expression, Item, Node, Statement};
use super::super::variable;
use super::route::{self, DEEPEST, MOST_STEPS};
use super::{Lowering, called_route};

/// Headers that functions edit without naming them.
const EDITORS: &[(&str, &[&str])] = &[
    ("record_route", &["record-route"]),
    ("record_route_preset", &["record-route"]),
    ("loose_route", &["route"]),
    ("fix_nated_contact", &["contact"]),
    ("set_contact_alias", &["contact"]),
    ("add_contact_alias", &["contact"]),
    ("add_path", &["path"]),
    ("add_path_received", &["path"]),
    ("consume_credentials", &["authorization", "proxy-authorization"]),
];

/// Variables that are headers.
const HEADERS: &[(&str, &str)] =
    &[("ct", "contact"), ("cT", "content-type"), ("ua", "user-agent"), ("cl", "content-length")];

/// What is any header, or some header that a pattern does not tell.
const ANY: &str = "*";

/// An edit: where it is, and the line that it adds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edit {
    at: usize,
    line: String,
}

type Edits = BTreeMap<String, Edit>;

/// A question that has an edit before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late {
    /// Where the edit is.
    edit: usize,
    /// Nothing has edited the header when the route begins.
    is_own: bool,
}

/// Every question that has an edit before it, by its place and the header.
pub(super) type Order = BTreeMap<(usize, String), Late>;

/// Follows the routes as they run, each of those that begin on their own.
pub(super) fn order(items: &[Node<Item>], dialect: Dialect) -> Order {
    let (named, begun) = route::called_and_begun(items);
    let mut walk = Walk {
        dialect,
        routes: &named,
        known: BTreeMap::new(),
        outer: Edits::new(),
        left: None,
        late: Order::new(),
        steps: 0,
        depth: 0,
    };
    for route in begun {
        walk.route(&route.body, Edits::new());
    }
    walk.late
}

/// The headers that a call edits, with the line that it adds.
fn edits(call: &Call, at: usize) -> Edits {
    let first = call.arguments.first().map(written).unwrap_or_default();
    let name = |text: &str| text.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (names, line): (Vec<String>, &str) = match call.name.as_str() {
        "append_hf" | "insert_hf" => (vec![name(first)], first.trim_end_matches(['\\', 'r', 'n'])),
        "remove_hf" | "subst_hf" => (vec![name(first)], ""),
        "subst" => (vec![substituted(first)], ""),
        other => {
            let row = EDITORS.iter().find(|(editor, _)| *editor == other);
            let names = row.map_or(&[][..], |(_, names)| names);
            (names.iter().map(|name| (*name).to_owned()).collect(), "")
        }
    };
    let edit = Edit { at, line: line.to_owned() };
    names.into_iter().map(|name| (name, edit.clone())).collect()
}

/// The header that `/^Name: …/…/` is about.
fn substituted(pattern: &str) -> String {
    let inner = pattern.get(1..).unwrap_or_default().trim_start_matches(['^', '(']);
    match inner.split_once(':') {
        Some((name, _))
            if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') =>
        {
            name.to_ascii_lowercase()
        }
        _ => ANY.to_owned(),
    }
}

fn written(argument: &Expr) -> &str {
    match &argument.it {
        Expression::Text { raw, .. } => raw,
        Expression::Word(word) | Expression::Raw(word) => word,
        Expression::Binary { left, .. } => written(left),
        _ => "",
    }
}

/// The edits that a question may see.
fn seen<'e>(call: &Call, edits: &'e Edits) -> Vec<(&'e String, &'e Edit)> {
    let first = call.arguments.first().map(written).unwrap_or_default().to_ascii_lowercase();
    let is_search = match call.name.as_str() {
        "is_present_hf" | "search_hf" => false,
        "search" => true,
        _ => return Vec::new(),
    };
    let pattern = || format!("(?im){}", text::regex(&first, true).0);
    let regex = (is_search && !edits.is_empty()).then(|| regex::Regex::new(&pattern()).ok());
    let finds = |line: &str| match &regex {
        Some(Some(regex)) => !line.is_empty() && regex.is_match(line),
        _ => false,
    };
    let is_seen = |name: &str, edit: &Edit| match is_search {
        true => name == ANY || first.contains(name) || finds(&edit.line),
        false => name == ANY || name == first.trim(),
    };
    edits.iter().filter(|(name, edit)| is_seen(name, edit)).collect()
}

/// The headers that a text with variables shows.
fn shown(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('$') {
        let Some((variable, _)) = variable::parse(&text[at..], true) else { continue };
        found.extend(header(&variable));
    }
    found
}

/// The header that a variable is.
pub(super) fn header(variable: &variable::Variable) -> Option<String> {
    match &variable.argument {
        Some(argument) if variable.name == "hdr" => {
            Some(argument.trim_matches('"').to_ascii_lowercase())
        }
        None => {
            let row = HEADERS.iter().find(|(name, _)| *name == variable.name);
            row.map(|(_, header)| (*header).to_owned())
        }
        Some(_) => None,
    }
}

struct Walk<'t> {
    dialect: Dialect,
    routes: &'t BTreeMap<String, &'t Block>,
    /// What each route has edited at its end, by what was edited when it began; nothing while it runs.
    known: BTreeMap<(String, Vec<String>), Option<Edits>>,
    /// What was edited when the route that is walked began.
    outer: Edits,
    /// What was edited at the jumps out of the loop or route.
    left: Option<Edits>,
    late: Order,
    steps: usize,
    depth: usize,
}

fn both(one: Option<Edits>, other: Option<Edits>) -> Option<Edits> {
    match (one, other) {
        (Some(mut one), Some(other)) => {
            one.extend(other);
            Some(one)
        }
        (one, other) => one.or(other),
    }
}

impl Walk<'_> {
    /// A whole route; none when it never comes to its end.
    fn route(&mut self, body: &Block, edits: Edits) -> Option<Edits> {
        let outer = std::mem::replace(&mut self.outer, edits.clone());
        let left = self.left.take();
        let end = self.block(body, Some(edits));
        let end = both(end, self.left.take());
        (self.outer, self.left) = (outer, left);
        end
    }

    fn block(&mut self, block: &Block, mut edits: Option<Edits>) -> Option<Edits> {
        for statement in &block.statements {
            edits = self.statement(statement, edits?);
        }
        edits
    }

    fn statement(&mut self, node: &Node<Statement>, edits: Edits) -> Option<Edits> {
        self.steps += 1 + edits.len();
        if self.steps > MOST_STEPS {
            return Some(edits);
        }
        match &node.it {
            Statement::Call(call) => self.call(call, node.at, edits),
            Statement::Assign { value, .. } => self.expression(value, edits),
            Statement::If { condition, then, otherwise } => {
                let edits = self.expression(condition, edits)?;
                let after = match otherwise.as_deref() {
                    Some(block) => self.block(block, Some(edits.clone())),
                    None => Some(edits.clone()),
                };
                both(self.block(then, Some(edits)), after)
            }
            Statement::While { condition, body } => {
                let mut edits = self.expression(condition, edits)?;
                // The second time sees what the first has edited.
                for _ in 0..2 {
                    let end = self.looped(body, edits.clone());
                    edits = both(Some(edits), end)?;
                    edits = self.expression(condition, edits)?;
                }
                Some(edits)
            }
            Statement::Switch { on, cases } => {
                let edits = self.expression(on, edits)?;
                let mut after = Some(edits.clone());
                for case in cases {
                    after = both(after, self.looped(&case.body, edits.clone()));
                }
                after
            }
            Statement::Block(block) => self.block(block, Some(edits)),
            Statement::Jump { word, value } => {
                let is_end = word == "exit" || word == "drop" && !self.dialect.break_is_drop();
                let is_zero = value.as_ref().is_some_and(|it| it.it == Expression::Number(0));
                if !is_end && !is_zero {
                    self.left = both(self.left.take(), Some(edits));
                }
                None
            }
            Statement::Broken => Some(edits),
        }
    }

    /// The body of a loop, with what a jump out of it has edited.
    fn looped(&mut self, body: &Block, edits: Edits) -> Option<Edits> {
        let end = self.block(body, Some(edits));
        both(end, self.left.clone())
    }

    fn call(&mut self, call: &Call, at: usize, mut edited: Edits) -> Option<Edits> {
        for argument in &call.arguments {
            edited = self.expression(argument, edited)?;
        }
        if call.name == "route" {
            return self.called(call, edited);
        }
        if call.name == "msg_apply_changes" {
            return Some(Edits::new());
        }
        // An expression is compiled.
        self.steps += if call.name == "search" { 100 } else { 0 };
        for (name, edit) in seen(call, &edited) {
            self.is_late(at, name, edit);
        }
        edited.extend(edits(call, at));
        Some(edited)
    }

    fn called(&mut self, call: &Call, edits: Edits) -> Option<Edits> {
        let Some(name) = called_route(call) else { return Some(edits) };
        let Some(body) = self.routes.get(&name).copied() else { return Some(edits) };
        let key = (name, edits.keys().cloned().collect::<Vec<_>>());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        if self.depth == DEEPEST {
            return Some(edits);
        }
        self.known.insert(key.clone(), Some(edits.clone()));
        self.depth += 1;
        let end = self.route(body, edits);
        self.depth -= 1;
        self.known.insert(key, end.clone());
        end
    }

    fn expression(&mut self, expression: &Expr, edits: Edits) -> Option<Edits> {
        match &expression.it {
            Expression::Call(call) => self.call(call, expression.at, edits),
            Expression::Not(inner) | Expression::Minus(inner) | Expression::Defined(inner) => {
                self.expression(inner, edits)
            }
            Expression::Cast(_, inner) => self.expression(inner, edits),
            Expression::Binary { left, right, .. } => {
                let edits = self.expression(left, edits)?;
                let after = self.expression(right, edits.clone());
                both(Some(edits), after)
            }
            Expression::Variable(text) | Expression::Text { raw: text, .. } => {
                for header in shown(text) {
                    self.reads(expression.at, &header, &edits);
                }
                Some(edits)
            }
            Expression::Select(written) => {
                let found = variable::select(written).as_ref().and_then(header);
                if let Some(header) = found {
                    self.reads(expression.at, &header, &edits);
                }
                Some(edits)
            }
            _ => Some(edits),
        }
    }

    fn reads(&mut self, at: usize, header: &str, edits: &Edits) {
        if let Some(edit) = edits.get(header).or_else(|| edits.get(ANY)) {
            self.is_late(at, header, edit);
        }
    }

    fn is_late(&mut self, at: usize, header: &str, edit: &Edit) {
        let is_own = !self.outer.contains_key(header) && !self.outer.contains_key(ANY);
        let late =
            self.late.entry((at, header.to_owned())).or_insert(Late { edit: edit.at, is_own });
        late.is_own &= is_own;
    }
}

impl Lowering<'_> {
    /// Tells of every question that has an edit before it.
    pub(super) fn tell_order(&mut self) {
        let mut told = BTreeSet::new();
        for ((at, header), late) in self.order.clone() {
            let place = self.world.source.place(late.edit);
            let file = self.world.source.files.get(place.file).map_or("", |(name, _)| name);
            let edit = format!("{file}:{}:{}", place.line, place.column);
            let what = match header.as_str() {
                ANY => "a header".to_owned(),
                name => format!("header `{name}`"),
            };
            if !told.insert((at, late.edit)) {
                continue;
            }
            match late.is_own {
                true => {
                    let message = format!("{what} is edited at {edit}, before this");
                    self.find(Code::EditOrder, at, message).help =
                        "the head of the route asks for it as it came, as the old program did; ask here if the edited one is meant".to_owned();
                }
                false => {
                    let message = format!(
                        "{what} is edited by another route, at {edit}: the old program still saw it as it came"
                    );
                    self.find(Code::Decision, at, message).help =
                        "every edit is seen at once here: ask before you edit, and keep the answer with `set_avp`".to_owned();
                }
            }
        }
    }

    /// Does an edit of the header stand before the question at this place, and can it be asked first?
    pub(super) fn is_asked_first(&self, at: usize, header: &str) -> bool {
        self.order.get(&(at, header.to_owned())).is_some_and(|late| late.is_own)
    }

    /// The same for a call, whatever the header.
    pub(super) fn is_call_asked_first(&self, at: usize) -> bool {
        let mut here = self.order.range((at, String::new())..(at + 1, String::new())).peekable();
        here.peek().is_some() && here.all(|(_, late)| late.is_own)
    }

    /// The variable that holds what `text` was at the head of the route.
    pub(super) fn asked_first(&mut self, at: usize, stem: &str, text: &str) -> String {
        if let Some((name, ..)) = self.asked_first.iter().find(|(_, asked, _)| asked == text) {
            return name.clone();
        }
        let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let stem: String = stem.chars().map(safe).collect();
        let is_used = |name: &String| self.asked_first.iter().any(|(used, ..)| used == name);
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        let name = std::iter::once(stem.clone()).chain(numbered).find(|name| !is_used(name));
        let name = name.expect("numbers do not end");
        self.asked_first.push((name.clone(), text.to_owned(), at));
        name
    }

    /// Writes what the route asks first, at its head.
    pub(super) fn write_asked_first(&mut self, head: usize) {
        let mut lines = String::new();
        for (name, text, at) in std::mem::take(&mut self.asked_first) {
            let line = self.marked(at, format!("let {name} = {text};"));
            lines.push_str(&format!("    {line}\n"));
        }
        self.out.insert_str(head, &lines);
    }
}
