//! From the tree to a route script: what each statement means, in the words of this program.

mod argument;
mod call;
mod compare;
mod jump;
mod order;
mod route;
mod stack;
mod statement;
mod value;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use super::dialect::Dialect;
use super::finding::{Code, Finding};
use super::functions::Functions;
use super::preprocess::{Comment, Source};
use super::tree::{Call, Item, Node};
use super::variable::Type;

/// Marks the place of a statement or call in the script, with its number; taken out at the end.
pub(super) const MARK_OPEN: char = '\u{2}';
pub(super) const MARK_CLOSE: char = '\u{3}';

/// How many call sites there are and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of functions in routes.
    pub calls: usize,
    /// Of them, carried over, or left out without loss.
    pub translated: usize,
    /// Of them, functions of a later version.
    pub not_yet: usize,
}

/// What is known of the whole configuration while its routes are lowered.
pub(super) struct World<'s> {
    pub(super) source: &'s Source,
    pub(super) dialect: Dialect,
    pub(super) functions: &'s Functions,
    /// Names of functions of the old programs, with their modules.
    pub(super) known: &'s BTreeMap<&'static str, &'static str>,
    /// `name.key = value` settings, which routes read.
    pub(super) custom: &'s BTreeMap<String, String>,
    /// Names of flags, with their numbers.
    pub(super) flags: BTreeMap<String, i64>,
    /// Places that may not be translated, because the check refuses what they become.
    pub(super) banned: &'s BTreeSet<usize>,
    /// What is wrong with each of them.
    pub(super) reasons: &'s BTreeMap<usize, String>,
    /// Functions that nothing calls.
    pub(super) uncalled: &'s BTreeSet<String>,
}

/// The script as it grows.
pub(super) struct Lowering<'s> {
    pub(super) world: World<'s>,
    pub(super) out: String,
    pub(super) findings: Vec<Finding>,
    pub(super) counts: Counts,
    /// Constants that the script uses.
    pub(super) constants: BTreeSet<String>,
    routes: Routes,
    /// Variables of the message that have several values at a time.
    stacked: BTreeSet<String>,
    /// Questions that have an edit before them.
    order: order::Order,
    /// What this route asks at its head: variable, question and place.
    asked_first: Vec<(String, String, usize)>,
    /// Functions that stand in the script.
    written: BTreeSet<String>,
    /// The next comment to write.
    next_comment: usize,
    /// The line of the old text that was written last.
    last_line: usize,
    indent: usize,
    here: Here,
}

/// The routes of the configuration by kind and name.
#[derive(Default)]
struct Routes {
    names: BTreeSet<(String, String)>,
    /// Those whose answer a condition asks for.
    asked: BTreeSet<String>,
}

/// Where the lowering is.
#[derive(Clone, Default)]
struct Here {
    /// `request`, `failure`, `branch`, `onreply` or `sub`.
    kind: &'static str,
    gives_answer: bool,
    loops: usize,
    /// The code of the last function or route, where it is known.
    last_code: Option<i64>,
    has_saved: bool,
}

impl<'s> Lowering<'s> {
    pub(super) fn new(world: World<'s>) -> Self {
        Self {
            world,
            out: String::new(),
            findings: Vec::new(),
            counts: Counts::default(),
            constants: BTreeSet::new(),
            routes: Routes::default(),
            stacked: BTreeSet::new(),
            order: order::Order::new(),
            asked_first: Vec::new(),
            written: BTreeSet::new(),
            next_comment: 0,
            last_line: usize::MAX,
            indent: 0,
            here: Here::default(),
        }
    }

    /// Writes every route of the configuration.
    pub(super) fn items(&mut self, items: &[Node<Item>]) {
        self.routes = Routes::of(items);
        self.stacked = stack::stacked(items, self.world.dialect, &self.world.source.text);
        self.order = order::order(items, self.world.dialect);
        self.tell_order();
        let has_main = route::all(items).any(route::is_main);
        self.header(items);
        let mut previous_end = 0;
        for item in items {
            if let Item::Route(route) = &item.it {
                self.skip_comments(previous_end, item.at);
                self.route(item, route);
            }
            previous_end = item.end;
        }
        if !has_main {
            let place = self.world.source.place(0);
            let finding = Finding::new(Code::Decision, place, "there is no main route");
            self.findings
                .push(finding.with_help("write the main route: `fn request_route() { … }`"));
            self.out
                .push_str("\n// The configuration has no main route.\nfn request_route() {\n}\n");
        }
        self.trailing_comments();
    }

    /// The comments at the very beginning, before the first item.
    fn header(&mut self, items: &[Node<Item>]) {
        let first = items.first().map_or(usize::MAX, |item| item.at);
        if matches!(items.first().map(|item| &item.it), Some(Item::Route(_))) {
            return;
        }
        let mut line =
            self.comment_before(first).map_or(0, |it| self.world.source.place(it.at).line);
        while let Some(comment) = self.comment_before(first) {
            let its_line = self.world.source.place(comment.at).line;
            if its_line > line + 1 {
                break;
            }
            line = its_line + comment.lines.len().max(1) - 1;
            self.write_comment(&comment);
            self.next_comment += 1;
        }
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// Passes over the comments of what does not stand in the script; those right above a route stay.
    fn skip_comments(&mut self, from: usize, to: usize) {
        let comments = &self.world.source.comments;
        let last = comments[self.next_comment..].partition_point(|comment| comment.at < to);
        let end = self.next_comment + last;
        let mut first = end;
        let mut line = self.world.source.place(to).line;
        while first > self.next_comment {
            let comment = &comments[first - 1];
            let its_line = self.world.source.place(comment.at).line;
            let length = comment.lines.len().max(1);
            if comment.is_trailing || its_line + length + 1 < line || comment.at < from {
                break;
            }
            line = its_line;
            first -= 1;
        }
        self.next_comment = first;
    }

    fn comment_before(&self, at: usize) -> Option<Comment> {
        self.world.source.comments.get(self.next_comment).filter(|it| it.at < at).cloned()
    }

    /// Writes the comments that stand before `at`.
    fn comments_before(&mut self, at: usize) {
        while let Some(comment) = self.comment_before(at) {
            self.next_comment += 1;
            match comment.is_trailing && self.out.ends_with('\n') && !self.out.ends_with("\n\n") {
                true => self.append_comment(&comment),
                false => {
                    self.gap(comment.at);
                    self.write_comment(&comment);
                }
            }
            self.last_line =
                self.world.source.place(comment.at).line + comment.lines.len().max(1) - 1;
        }
    }

    /// Puts the comment behind a statement behind what it has become.
    fn comment_behind(&mut self, end: usize) {
        let Some(comment) = self.comment_before(usize::MAX).filter(|it| it.is_trailing) else {
            return;
        };
        let line = |at: usize| self.world.source.place(at).line;
        let is_behind = comment.at >= end && line(comment.at) == line(end.max(1) - 1);
        if is_behind && self.out.ends_with('\n') && !self.out.ends_with("\n\n") {
            self.next_comment += 1;
            self.append_comment(&comment);
        }
    }

    /// An empty line where the old text has one.
    fn gap(&mut self, at: usize) {
        let line = self.world.source.place(at).line;
        let is_inside =
            !self.out.ends_with("{\n") && !self.out.ends_with("\n\n") && self.indent > 0;
        if is_inside && self.last_line != usize::MAX && line > self.last_line + 1 {
            self.out.push('\n');
        }
    }

    /// Puts a comment behind the last line.
    fn append_comment(&mut self, comment: &Comment) {
        self.out.pop();
        let text = comment.lines.join(" ");
        self.out.push_str(&format!("  // {}\n", clean(text.trim())));
    }

    fn write_comment(&mut self, comment: &Comment) {
        let lines: Vec<&str> = comment.lines.iter().map(|line| line.trim_end()).collect();
        for line in lines {
            let line =
                if comment.lines.len() > 1 { line.trim_start_matches([' ', '\t']) } else { line };
            let line = line.trim_start_matches(['*', '#']).trim_end();
            let line = clean(line);
            let blank = if line.is_empty() || line.starts_with(' ') || line.starts_with('\t') {
                ""
            } else {
                " "
            };
            if line.trim().is_empty() && comment.lines.len() > 1 {
                continue;
            }
            self.line(format!("//{blank}{line}").trim_end());
        }
    }

    fn trailing_comments(&mut self) {
        self.next_comment = self.world.source.comments.len();
    }

    fn line(&mut self, text: &str) {
        if !text.is_empty() {
            self.out.push_str(&"    ".repeat(self.indent));
            self.out.push_str(text);
        }
        self.out.push('\n');
    }

    fn find(&mut self, code: Code, at: usize, message: impl Into<String>) -> &mut Finding {
        let place = self.world.source.place(at);
        self.findings.push(Finding::new(code, place, message));
        self.findings.last_mut().expect("one was pushed")
    }

    /// The text that a node covers, on one line and without comments.
    fn original(&self, at: usize, end: usize) -> String {
        let text = self.world.source.text.get(at..end).unwrap_or_default();
        let text: Vec<&str> = text.split_whitespace().collect();
        let text = text.join(" ").replace(super::preprocess::MARK, "");
        let text = text.trim_end_matches([';', ' ']);
        match text.char_indices().nth(160) {
            Some((cut, _)) => format!("{} …", &text[..cut]),
            None => text.to_owned(),
        }
    }

    /// The call that stands for what cannot be translated.
    fn unsupported(&self, at: usize, end: usize) -> String {
        let place = self.world.source.place(at);
        let file = self.world.source.files.get(place.file).map_or("", |(name, _)| name.as_str());
        let file = file.rsplit('/').next().unwrap_or(file);
        let original = self.original(at, end);
        let place = format!("{file}:{}", place.line);
        format!(
            "unsupported({}, {})",
            super::text::literal(&place),
            super::text::literal(&original)
        )
    }

    fn marked(&self, at: usize, text: String) -> String {
        format!("{MARK_OPEN}{at}{MARK_CLOSE}{text}")
    }

    fn is_banned(&self, at: usize) -> bool {
        self.world.banned.contains(&at)
    }
}

fn clean(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

impl Routes {
    fn of(items: &[Node<Item>]) -> Self {
        let mut routes = Self::default();
        for route in route::all(items) {
            let name = route.name.clone().unwrap_or_default();
            routes.names.insert((route::script_kind(&route.kind, &name).to_owned(), name));
            route::asked(&route.body, &mut routes.asked);
        }
        routes
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.names.contains(&(kind.to_owned(), name.to_owned()))
    }
}

/// The name of the function that a route becomes.
pub(super) fn function_name(kind: &str, name: &str) -> String {
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    format!("{kind}_{safe}")
}

/// The name of the route that a call names.
fn called_route(call: &Call) -> Option<String> {
    let first = call.arguments.first()?;
    match &first.it {
        super::tree::Expression::Raw(name) | super::tree::Expression::Word(name) => {
            Some(name.clone())
        }
        super::tree::Expression::Text { raw, .. } => Some(raw.clone()),
        super::tree::Expression::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
