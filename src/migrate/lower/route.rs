//! Routes: which function each becomes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::Code;
use super::super::tree::{Block, Expr, Expression, Item, Node, Route, Statement};
use super::{Here, Lowering, called_route, function_name};

/// The kind of function that a route of the configuration becomes; empty when nothing here would run it.
pub(super) fn script_kind(kind: &str, name: &str) -> &'static str {
    match kind {
        "request_route" => "request_route",
        "route" if name.is_empty() || name == "0" => "request_route",
        "route" => "route",
        "failure_route" => "failure_route",
        "branch_route" if !name.is_empty() => "branch_route",
        "onreply_route" if !name.is_empty() => "onreply_route",
        // SER 0.8 called the failure route so.
        "reply_route" if !name.is_empty() => "failure_route",
        _ => "",
    }
}

/// Statements that a walk through the routes looks at, at most.
pub(super) const MOST_STEPS: usize = 2_000_000;
/// Routes that call each other so deep are walked through.
pub(super) const DEEPEST: usize = 100;

/// The routes of a file, in order.
pub(super) fn all(items: &[Node<Item>]) -> impl Iterator<Item = &Route> {
    items.iter().filter_map(|item| match &item.it {
        Item::Route(route) => Some(route),
        _ => None,
    })
}

/// Is it the route that every request runs through?
pub(super) fn is_main(route: &Route) -> bool {
    kind_of(route) == "request_route"
}

fn kind_of(route: &Route) -> &'static str {
    script_kind(&route.kind, route.name.as_deref().unwrap_or_default())
}

/// The routes that others call, by their names, and those that begin on their own, in order.
pub(super) fn called_and_begun(items: &[Node<Item>]) -> (BTreeMap<String, &Block>, Vec<&Route>) {
    let (called, begun) = all(items).partition::<Vec<_>, _>(|route| kind_of(route) == "route");
    let name = |route: &Route| route.name.clone().unwrap_or_default();
    (called.into_iter().map(|route| (name(route), &route.body)).collect(), begun)
}

/// Collects the routes that conditions call.
pub(super) fn asked(block: &Block, found: &mut BTreeSet<String>) {
    for statement in &block.statements {
        match &statement.it {
            Statement::If { condition, then, otherwise } => {
                asked_by(condition, found);
                asked(then, found);
                if let Some(otherwise) = otherwise {
                    asked(otherwise, found);
                }
            }
            Statement::While { condition, body } => {
                asked_by(condition, found);
                asked(body, found);
            }
            Statement::Switch { on, cases } => {
                asked_by(on, found);
                cases.iter().for_each(|case| asked(&case.body, found));
            }
            Statement::Assign { value, .. } => asked_by(value, found),
            Statement::Block(block) => asked(block, found),
            _ => {}
        }
    }
}

fn asked_by(expression: &Expr, found: &mut BTreeSet<String>) {
    match &expression.it {
        Expression::Call(call) if call.name == "route" => found.extend(called_route(call)),
        Expression::Not(inner) | Expression::Minus(inner) | Expression::Defined(inner) => {
            asked_by(inner, found);
        }
        Expression::Cast(_, inner) => asked_by(inner, found),
        Expression::Binary { left, right, .. } => {
            asked_by(left, found);
            asked_by(right, found);
        }
        _ => {}
    }
}

impl Lowering<'_> {
    pub(super) fn route(&mut self, item: &Node<Item>, route: &Route) {
        let name = route.name.clone().unwrap_or_default();
        let kind = script_kind(&route.kind, &name);
        let function = match kind {
            "request_route" => kind.to_owned(),
            _ => function_name(kind, &name),
        };
        self.comments_before(item.at);
        if kind.is_empty() {
            return self.unknown_route(item, route);
        }
        if !self.written.insert(function.clone()) {
            let message = format!("`{function}` stands in the file twice");
            self.find(Code::Route, item.at, message).help =
                "join the two, or rename one".to_owned();
            return self.as_comment(item, route, "This route has the name of another:");
        }
        let start = self.out.len();
        self.here = Here {
            kind: match kind {
                "request_route" => "request",
                "failure_route" => "failure",
                "branch_route" => "branch",
                "onreply_route" => "onreply",
                _ => "sub",
            },
            gives_answer: kind == "route" && self.routes.asked.contains(&name),
            ..Here::default()
        };
        self.line(&format!("fn {function}() {{"));
        self.last_line = usize::MAX;
        let head = self.out.len();
        self.indent += 1;
        self.block(&route.body);
        self.write_asked_first(head);
        if self.here.gives_answer {
            self.answer_at_end(&route.body);
        }
        self.indent -= 1;
        self.line("}");
        self.out.push('\n');
        if self.world.uncalled.contains(&function) {
            self.comment_out(start, item.at, &function);
        }
    }

    /// Falling off the end of a route gives the answer of its last call.
    fn answer_at_end(&mut self, body: &Block) {
        let last = body.statements.last().map(|statement| &statement.it);
        if matches!(last, Some(Statement::Jump { .. })) {
            return;
        }
        let is_ser0 = self.world.dialect.break_is_drop();
        if let Some(Statement::Call(_)) = last
            && !is_ser0
            && let Some(line) = last_line(&self.out)
            && line.trim_end().ends_with(");")
            && self.last_call_answers(body)
        {
            let at = self.out.trim_end().len();
            self.out.truncate(at);
            self.out.pop();
            self.out.push('\n');
            return;
        }
        self.line("true");
    }

    fn last_call_answers(&self, body: &Block) -> bool {
        match body.statements.last().map(|it| &it.it) {
            Some(Statement::Call(call)) => {
                let row = super::super::functions::row(&call.name, call.arguments.len());
                matches!(
                    row,
                    Some(super::super::functions::Becomes::Call(
                        _,
                        super::super::functions::Gives::Bool
                    ))
                )
            }
            _ => false,
        }
    }

    /// A route that nothing runs stays as a comment.
    fn comment_out(&mut self, start: usize, at: usize, function: &str) {
        let body = self.out.split_off(start);
        self.line("// Nothing calls this route, so it is not carried over:");
        for line in body.trim_end().lines() {
            self.line(format!("// {line}").trim_end());
        }
        self.out.push('\n');
        let finding = self.find(Code::Dropped, at, format!("nothing calls `{function}`"));
        finding.help = "it stands in the script as a comment".to_owned();
    }

    fn unknown_route(&mut self, item: &Node<Item>, route: &Route) {
        let what = match &route.name {
            Some(name) => format!("{}[{name}]", route.kind),
            None => route.kind.clone(),
        };
        let advice = match route.kind.as_str() {
            "onreply_route" | "reply_route" => {
                "arm an `onreply_route_NAME` with `t_on_reply` where it matters"
            }
            "event_route" | "timer_route" | "startup_route" => "the event does not exist here",
            _ => "what we send ourselves does not run through a route here",
        };
        let finding = self.find(Code::Route, item.at, format!("nothing here runs `{what}`"));
        finding.help = advice.to_owned();
        self.as_comment(item, route, &format!("Nothing here runs this {what}:"));
    }

    /// The old text of a route as a comment below a heading.
    fn as_comment(&mut self, item: &Node<Item>, route: &Route, heading: &str) {
        self.counts.calls += super::call::count(&route.body);
        self.line(&format!("// {heading}"));
        let text = self.world.source.text.get(item.at..item.end).unwrap_or_default();
        let text: Vec<String> = text.lines().map(|line| super::clean(line.trim_end())).collect();
        for line in text.iter().filter(|line| !line.is_empty()) {
            self.line(&format!("// {line}"));
        }
        self.out.push('\n');
        let end = item.end;
        while self.comment_before(end).is_some() {
            self.next_comment += 1;
        }
    }

    pub(super) fn is_main_name(name: &str) -> bool {
        name == "0" || name.is_empty()
    }
}

fn last_line(out: &str) -> Option<&str> {
    out.trim_end().lines().last()
}
