//! Statements and blocks.

use super::super::finding::Code;
use super::super::tree::{Block, Case, Expr, Expression, Node, Statement};
use super::Lowering;
use super::value::Value;

/// A switch is written with as many statements at most; cases in cases that fall through double each time.
const MOST_STATEMENTS: usize = 5_000;

impl Lowering<'_> {
    pub(super) fn block(&mut self, block: &Block) {
        for statement in &block.statements {
            self.comments_before(statement.at);
            self.gap(statement.at);
            self.statement(statement);
            self.comment_behind(statement.end);
            self.last_line = self.world.source.place(statement.end.max(1) - 1).line;
        }
        self.comments_before(block.end.saturating_sub(1));
    }

    fn statement(&mut self, node: &Node<Statement>) {
        let (at, end) = (node.at, node.end);
        if self.is_banned(at) && !matches!(node.it, Statement::Call(_)) {
            return self.refused_statement(node);
        }
        match &node.it {
            Statement::Call(call) => self.call_statement(node, call),
            Statement::Assign { to, operator, value } => self.assign(node, to, operator, value),
            Statement::If { condition, then, otherwise } => {
                self.if_else(at, condition, then, otherwise.as_deref(), "if");
            }
            Statement::While { condition, body } => {
                let condition = self.condition(condition);
                let head = self.marked(at, format!("while {condition} {{"));
                self.line(&head);
                self.here.loops += 1;
                self.indented(body);
                self.here.loops -= 1;
                self.line("}");
            }
            Statement::Switch { on, cases } => self.switch(node, on, cases),
            Statement::Block(inner) => {
                if !inner.statements.is_empty() {
                    self.block(inner);
                }
            }
            Statement::Jump { word, value } => self.jump(node, word, value.as_ref()),
            Statement::Broken => {
                let line = format!("{};", self.unsupported(at, end));
                self.line(&line);
            }
        }
    }

    fn refused_statement(&mut self, node: &Node<Statement>) {
        let reason = self.world.reasons.get(&node.at).cloned().unwrap_or_default();
        let original = self.original(node.at, node.end);
        let finding = self.find(Code::Form, node.at, reason);
        finding.original = original;
        finding.help = "translate it by hand".to_owned();
        let mut calls = 0;
        super::call::count_statement(&node.it, &mut calls);
        self.counts.calls += calls;
        let line = format!("{};", self.unsupported(node.at, node.end));
        self.line(&line);
        while self.comment_before(node.end).is_some() {
            self.next_comment += 1;
        }
    }

    pub(super) fn indented(&mut self, block: &Block) {
        let before = self.here.clone();
        self.indent += 1;
        self.block(block);
        self.indent -= 1;
        let leaves =
            matches!(block.statements.last().map(|it| &it.it), Some(Statement::Jump { .. }));
        let has_saved = self.here.has_saved && !leaves;
        self.here = before;
        self.here.has_saved |= has_saved;
    }

    fn if_else(
        &mut self,
        at: usize,
        condition: &Expr,
        then: &Block,
        otherwise: Option<&Block>,
        word: &str,
    ) {
        let text = self.condition(condition);
        let head = self.marked(at, format!("{word} {text} {{"));
        self.line(&head);
        let (if_true, if_false) = codes(condition);
        let saved = self.here.last_code;
        self.here.last_code = if_true;
        self.indented(then);
        self.here.last_code = if_false;
        match otherwise {
            None => self.line("}"),
            Some(block) => self.otherwise(block),
        }
        self.here.last_code = match otherwise {
            None => if_false.or(saved),
            Some(_) => None,
        };
    }

    fn otherwise(&mut self, block: &Block) {
        if let [only] = block.statements.as_slice()
            && let Statement::If { condition, then, otherwise } = &only.it
            && !self.is_banned(only.at)
            && self.comment_before(only.at).is_none_or(|comment| comment.is_trailing)
        {
            self.comments_before(only.at);
            return self.if_else(only.at, condition, then, otherwise.as_deref(), "} else if");
        }
        if block.statements.is_empty() {
            return self.line("}");
        }
        self.line("} else {");
        self.indented(block);
        self.line("}");
    }

    /// Cases that end with `break` or leave become a chain of conditions; what falls through is written twice.
    fn switch(&mut self, node: &Node<Statement>, on: &Expr, cases: &[Case]) {
        let value = self.value(on);
        if cases.iter().any(|case| has_inner_break(&case.body)) {
            return self.refused_form(node, "a `break` inside a case");
        }
        if length(cases) > MOST_STATEMENTS {
            return self.refused_form(node, "a switch whose cases fall through so often");
        }
        let mut word = "if";
        let mut default = None;
        for (index, case) in cases.iter().enumerate() {
            let labels: Vec<&Expr> = case.labels.iter().flatten().collect();
            if labels.len() < case.labels.len() {
                default = Some(index);
                if labels.is_empty() {
                    continue;
                }
            }
            let tests: Vec<String> =
                labels.iter().map(|label| self.case_test(on, &value, label)).collect();
            let head = self.marked(node.at, format!("{word} {} {{", tests.join(" || ")));
            self.line(&head);
            self.case_bodies(cases, index);
            word = "} else if";
        }
        match (default, word) {
            (Some(index), "if") => {
                self.line("if true {");
                self.case_bodies(cases, index);
            }
            (Some(index), _) => {
                self.line("} else {");
                self.case_bodies(cases, index);
            }
            (None, "if") => return,
            _ => {}
        }
        self.line("}");
    }

    fn case_test(&mut self, on: &Expr, value: &Value, label: &Expr) -> String {
        let _ = value;
        self.comparison("==", on, label)
    }

    fn case_bodies(&mut self, cases: &[Case], index: usize) {
        for case in &cases[index..] {
            let mut body = case.body.clone();
            let ends =
                matches!(body.statements.last().map(|it| &it.it), Some(Statement::Jump { .. }));
            if let Some(Statement::Jump { word, .. }) = body.statements.last().map(|it| &it.it)
                && word == "break"
            {
                body.statements.pop();
            }
            self.indented(&body);
            if ends {
                break;
            }
        }
    }

    pub(super) fn refused_form(&mut self, node: &Node<Statement>, what: &str) {
        let original = self.original(node.at, node.end);
        let finding = self.find(Code::Form, node.at, format!("{what} has no counterpart"));
        finding.original = original;
        finding.help = "translate it by hand".to_owned();
        let mut calls = 0;
        super::call::count_statement(&node.it, &mut calls);
        self.counts.calls += calls;
        let line = format!("{};", self.unsupported(node.at, node.end));
        self.line(&line);
        while self.comment_before(node.end).is_some() {
            self.next_comment += 1;
        }
    }
}

/// The code of the function that a condition asks, when it is true and when it is false.
fn codes(condition: &Expr) -> (Option<i64>, Option<i64>) {
    match &condition.it {
        Expression::Call(_) => (Some(1), Some(-1)),
        Expression::Not(inner) => {
            let (if_true, if_false) = codes(inner);
            (if_false, if_true)
        }
        _ => (None, None),
    }
}

/// How many statements cases become, each with those that it falls through to.
fn length(cases: &[Case]) -> usize {
    let lengths = cases.iter().rev().scan(0_usize, |below, case| {
        let ends =
            matches!(case.body.statements.last().map(|it| &it.it), Some(Statement::Jump { .. }));
        let own = block_length(&case.body);
        *below = if ends { own } else { own.saturating_add(*below) };
        Some(*below)
    });
    lengths.fold(0, usize::saturating_add)
}

fn block_length(block: &Block) -> usize {
    let length = |statement: &Node<Statement>| match &statement.it {
        Statement::If { then, otherwise, .. } => {
            let otherwise = otherwise.as_deref().map_or(0, block_length);
            block_length(then).saturating_add(otherwise)
        }
        Statement::While { body, .. } => block_length(body),
        Statement::Switch { cases, .. } => length(cases),
        Statement::Block(block) => block_length(block),
        _ => 0,
    };
    let lengths = block.statements.iter().map(|statement| length(statement).saturating_add(1));
    lengths.fold(0, usize::saturating_add)
}

/// Does a case leave the switch from inside an `if`?
fn has_inner_break(body: &Block) -> bool {
    fn inside(block: &Block) -> bool {
        block.statements.iter().any(|statement| match &statement.it {
            Statement::Jump { word, .. } => word == "break",
            Statement::If { then, otherwise, .. } => {
                inside(then) || otherwise.as_deref().is_some_and(inside)
            }
            Statement::Block(block) => inside(block),
            _ => false,
        })
    }
    body.statements.iter().any(|statement| match &statement.it {
        Statement::If { then, otherwise, .. } => {
            inside(then) || otherwise.as_deref().is_some_and(inside)
        }
        Statement::Block(block) => inside(block),
        _ => false,
    })
}
