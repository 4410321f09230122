//! From text to tree: the grammar finds the words, the dialect says how they group.

use pest::Parser;
use pest::iterators::Pair;

use super::dialect::Dialect;
use super::finding::{Code, Finding};
use super::preprocess::Source;
use super::text;
use super::tree::{Block, Call, Case, Expr, Expression, Item, Node, Route, Statement};

#[derive(pest_derive::Parser)]
#[grammar = "grammar/route.pest"]
struct Grammar;

/// The items of a configuration; what could not be read is among the findings of the source.
pub(super) fn parse(source: &mut Source, dialect: Dialect) -> Vec<Node<Item>> {
    let mut builder = Builder { dialect, findings: Vec::new(), source, depth: 0 };
    let items = match Grammar::parse(Rule::file, &builder.source.text) {
        Ok(mut pairs) => pairs.next().map(|file| builder.items(file)).unwrap_or_default(),
        Err(error) => {
            let at = match error.location {
                pest::error::InputLocation::Pos(at) => at,
                pest::error::InputLocation::Span((at, _)) => at,
            };
            builder.report(at, "nothing can be read from here on");
            Vec::new()
        }
    };
    let findings = builder.findings;
    source.findings.extend(findings);
    items
}

struct Builder<'s> {
    dialect: Dialect,
    findings: Vec<Finding>,
    source: &'s Source,
    depth: usize,
}

/// Statements may lie in each other this deep, `else if` counted.
const MAX_DEPTH: usize = 200;

impl Builder<'_> {
    fn report(&mut self, at: usize, message: &str) {
        let place = self.source.place(at);
        self.findings.push(Finding::new(Code::Parse, place, message));
    }

    /// The first versions of SER read every number by its digits.
    fn watch_number(&mut self, at: usize, written: &str, number: i64) {
        if self.dialect == Dialect::Ser0 && text::is_octal(written) {
            let message = format!("`{written}` is octal, {number}, as since SER 0.8.12");
            let finding = Finding::new(Code::Octal, self.source.place(at), message);
            let help = "before 0.8.12 it was what its digits say: write that if your SER is older";
            self.findings.push(finding.with_help(help));
        }
    }

    fn report_text(&mut self, at: usize, message: &str, original: &str) {
        let place = self.source.place(at);
        let original = original.split_whitespace().collect::<Vec<_>>().join(" ");
        let original: String = original.chars().take(200).collect();
        self.findings.push(Finding::new(Code::Parse, place, message).with_original(&original));
    }

    fn items(&mut self, file: Pair<'_, Rule>) -> Vec<Node<Item>> {
        parts(file).filter_map(|pair| self.item(pair)).collect()
    }

    fn item(&mut self, pair: Pair<'_, Rule>) -> Option<Node<Item>> {
        let (at, end) = span(&pair);
        let it = match pair.as_rule() {
            Rule::route => Item::Route(self.route(pair)),
            Rule::loadmodule => Item::Module(first_text(pair)),
            Rule::loadpath => Item::Loadpath,
            Rule::modparam => {
                let mut values = parts(pair).map(|value| self.parameter_value(value));
                Item::Parameter {
                    modules: values.next()?,
                    name: values.next()?,
                    value: values.next(),
                }
            }
            Rule::flags => Item::Flags(parts(pair).map(|part| part.as_str().to_owned()).collect()),
            Rule::setting => {
                let mut inner = parts(pair);
                let name = inner.next()?.as_str().to_owned();
                let value = inner.next()?.as_str().trim().to_owned();
                Item::Setting { name, value }
            }
            Rule::closing => {
                self.report(at, "this bracket closes nothing");
                Item::Stray
            }
            Rule::semicolon | Rule::empty | Rule::EOI => return None,
            _ => {
                self.report_text(at, "this stands outside of every route", pair.as_str());
                Item::Stray
            }
        };
        Some(Node { at, end, it })
    }

    fn parameter_value(&mut self, pair: Pair<'_, Rule>) -> Expr {
        match parts(pair).next() {
            Some(inner) => self.primary(inner),
            None => node(0, 0, Expression::Raw(String::new())),
        }
    }

    fn route(&mut self, pair: Pair<'_, Rule>) -> Route {
        let mut route = Route { kind: String::new(), name: None, body: Block::default() };
        for part in parts(pair) {
            match part.as_rule() {
                Rule::route_kind => part.as_str().clone_into(&mut route.kind),
                Rule::route_name => {
                    route.name = Some(part.as_str().trim().trim_matches(['"', '\'']).to_owned());
                }
                _ => route.body = self.block(part),
            }
        }
        route
    }

    fn block(&mut self, pair: Pair<'_, Rule>) -> Block {
        let (at, end) = span(&pair);
        let mut block = Block { statements: Vec::new(), end, is_closed: true };
        for part in parts(pair) {
            if part.as_rule() == Rule::unclosed {
                block.is_closed = false;
                self.report(at, "this bracket is not closed");
            } else {
                block.statements.extend(self.statement(part));
            }
        }
        block
    }

    /// A statement as the block that an `if` wants.
    fn body(&mut self, pair: Option<Pair<'_, Rule>>, at: usize) -> Block {
        match pair {
            Some(pair) if pair.as_rule() == Rule::block => self.block(pair),
            Some(pair) => {
                let (_, end) = span(&pair);
                let statements = self.statement(pair).into_iter().collect();
                Block { statements, end, is_closed: true }
            }
            None => {
                self.report(at, "a statement is missing here");
                Block { end: at, is_closed: true, ..Block::default() }
            }
        }
    }

    fn statement(&mut self, pair: Pair<'_, Rule>) -> Option<Node<Statement>> {
        let (at, end) = span(&pair);
        if self.depth >= MAX_DEPTH {
            self.report(at, "this is nested too deeply");
            return Some(Node { at, end, it: Statement::Broken });
        }
        self.depth += 1;
        let made = self.shallow_statement(pair);
        self.depth -= 1;
        made
    }

    fn shallow_statement(&mut self, pair: Pair<'_, Rule>) -> Option<Node<Statement>> {
        let (at, end) = span(&pair);
        let it = match pair.as_rule() {
            Rule::empty => return None,
            Rule::block => Statement::Block(self.block(pair)),
            Rule::if_else => self.if_else(pair),
            Rule::while_loop => {
                let mut inner = parts(pair);
                let condition = self.condition(inner.next()?);
                Statement::While { condition, body: Box::new(self.body(inner.next(), end)) }
            }
            Rule::switch => self.switch(pair)?,
            Rule::jump => {
                let mut inner = parts(pair);
                let word = inner.next()?.as_str().to_owned();
                let value = inner.next().map(|value| self.expression(value));
                let word = if word == "esac" { "break".to_owned() } else { word };
                Statement::Jump { word, value }
            }
            Rule::assign => {
                let mut inner = parts(pair);
                let to = inner.next()?.as_str().to_owned();
                let operator = inner.next()?.as_str().to_owned();
                Statement::Assign { to, operator, value: self.expression(inner.next()?) }
            }
            Rule::call_statement => {
                let mut inner = parts(pair);
                let first = inner.next()?;
                if inner.any(|part| part.as_rule() == Rule::no_semicolon) {
                    self.report(end, "a `;` is missing before this");
                }
                match first.as_rule() {
                    Rule::call => Statement::Call(self.call(first)),
                    _ => Statement::Call(Call {
                        name: first.as_str().to_owned(),
                        arguments: Vec::new(),
                    }),
                }
            }
            Rule::stray => {
                self.report_text(at, "this means nothing here", pair.as_str());
                return None;
            }
            _ => {
                self.report_text(at, "this cannot be read", pair.as_str());
                Statement::Broken
            }
        };
        Some(Node { at, end, it })
    }

    fn if_else(&mut self, pair: Pair<'_, Rule>) -> Statement {
        let (start, end) = span(&pair);
        let mut condition = node(start, end, Expression::Raw(String::new()));
        let (mut then, mut otherwise) = (None, None);
        for part in parts(pair) {
            match part.as_rule() {
                Rule::condition => condition = self.condition(part),
                Rule::stray_close => {
                    self.report(part.as_span().start(), "this bracket closes nothing")
                }
                Rule::else_part => {
                    let (at, _) = span(&part);
                    let inner = parts(part).next();
                    otherwise = Some(Box::new(self.body(inner, at)));
                }
                _ => then = Some(part),
            }
        }
        let then = Box::new(self.body(then, end));
        Statement::If { condition, then, otherwise }
    }

    fn condition(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let (at, end) = span(&pair);
        match parts(pair).next() {
            Some(inner) if inner.as_rule() == Rule::expression => self.expression(inner),
            inner => {
                let raw = inner.map_or("", |inner| inner.as_str()).trim().to_owned();
                self.report_text(at, "this condition cannot be read", &raw);
                node(at, end, Expression::Raw(raw))
            }
        }
    }

    fn switch(&mut self, pair: Pair<'_, Rule>) -> Option<Statement> {
        let mut inner = parts(pair);
        let on = self.condition(inner.next()?);
        let mut cases: Vec<Case> = Vec::new();
        for part in inner {
            match part.as_rule() {
                Rule::label => {
                    let label = parts(part).next().filter(|it| it.as_rule() != Rule::default);
                    let label = label.map(|label| self.expression(label));
                    match cases.last_mut() {
                        Some(case) if case.body.statements.is_empty() => case.labels.push(label),
                        _ => cases.push(Case { labels: vec![label], body: Block::default() }),
                    }
                }
                Rule::unclosed => {}
                _ => {
                    let (_, end) = span(&part);
                    let statement = self.statement(part);
                    if let Some(case) = cases.last_mut() {
                        case.body.end = end;
                        case.body.is_closed = true;
                        case.body.statements.extend(statement);
                    }
                }
            }
        }
        Some(Statement::Switch { on, cases })
    }

    fn call(&mut self, pair: Pair<'_, Rule>) -> Call {
        let mut inner = parts(pair).peekable();
        if let Some(first) = inner.peek()
            && first.as_rule() == Rule::route_call
        {
            let mut parts = inner.next().into_iter().flat_map(parts);
            let (at, end) = parts.clone().next().map_or((0, 0), |name| span(&name));
            let name =
                parts.next().map_or("", |name| name.as_str()).trim_matches(['"', '\'']).to_owned();
            let name = node(at, end, Expression::Raw(name));
            let arguments = [name].into_iter();
            let arguments =
                arguments.chain(parts.map(|argument| self.argument(argument))).collect();
            return Call { name: "route".to_owned(), arguments };
        }
        let name = inner.next().map_or("", |name| name.as_str()).to_owned();
        let mut arguments: Vec<Expr> = inner.map(|argument| self.argument(argument)).collect();
        if let [only] = arguments.as_slice()
            && only.it == Expression::Raw(String::new())
        {
            arguments.clear();
        }
        Call { name, arguments }
    }

    fn argument(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let (at, end) = span(&pair);
        match parts(pair).next() {
            Some(inner) if inner.as_rule() == Rule::expression => self.expression(inner),
            Some(inner) => node(at, end, Expression::Raw(inner.as_str().trim().to_owned())),
            None => node(at, end, Expression::Raw(String::new())),
        }
    }

    /// Groups the operands and operators that lie flat in the grammar.
    fn expression(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let (at, end) = span(&pair);
        let parts: Vec<Pair<'_, Rule>> = parts(pair).collect();
        let mut next = 0;
        self.climb(&parts, &mut next, 0)
            .unwrap_or_else(|| node(at, end, Expression::Raw(String::new())))
    }

    fn climb(&mut self, parts: &[Pair<'_, Rule>], next: &mut usize, least: u8) -> Option<Expr> {
        let left = self.operand(parts, next)?;
        self.climb_from(left, parts, next, least)
    }

    fn climb_from(
        &mut self,
        mut left: Expr,
        parts: &[Pair<'_, Rule>],
        next: &mut usize,
        least: u8,
    ) -> Option<Expr> {
        while let Some(operator) = parts.get(*next).filter(|it| it.as_rule() == Rule::binary) {
            let operator = operator.as_str().trim();
            let binding = self.dialect.binding(operator);
            if binding < least {
                break;
            }
            *next += 1;
            let right = self.climb(parts, next, binding + 1)?;
            let operator = canonical(operator, self.dialect);
            let (at, end) = (left.at, right.end);
            left = node(at, end, Expression::Binary { operator, left, right });
        }
        Some(left)
    }

    /// An operand with the signs before it, the last of which binds first.
    fn operand(&mut self, parts: &[Pair<'_, Rule>], next: &mut usize) -> Option<Expr> {
        let mut signs = Vec::new();
        while let Some(part) = parts.get(*next).filter(|part| part.as_rule() == Rule::prefix) {
            signs.push((part.as_span().start(), part.as_str().trim()));
            *next += 1;
        }
        let is_keyword = parts.get(*next).is_some_and(|it| it.as_rule() == Rule::word);
        let takes_comparison = signs.iter().any(|(_, sign)| matches!(*sign, "!" | "not"))
            && self.dialect.not_takes_comparison(is_keyword);
        let mut inner = match takes_comparison {
            true => {
                let first = self.primary(parts.get(*next)?.clone());
                *next += 1;
                // As far as a comparison goes, but not over `&&`.
                self.climb_from(first, parts, next, 6)?
            }
            false => {
                let first = self.primary(parts.get(*next)?.clone());
                *next += 1;
                first
            }
        };
        // A pair of `!` is nothing.
        let nots = signs.iter().filter(|(_, sign)| matches!(*sign, "!" | "not")).count();
        if nots == signs.len() && nots > 1 {
            signs.drain(..nots - if nots % 2 == 0 { 2 } else { 1 });
        }
        for (at, sign) in signs.into_iter().rev().take(8) {
            inner = self.signed(at, sign, inner);
        }
        Some(inner)
    }

    fn signed(&mut self, at: usize, sign: &str, inner: Expr) -> Expr {
        let end = inner.end;
        let made = match sign {
            "!" | "not" => Expression::Not(inner),
            "-" => match inner.it {
                Expression::Number(number) => Expression::Number(-number),
                _ => Expression::Minus(inner),
            },
            "defined" => Expression::Defined(inner),
            "~" => Expression::Raw(format!("~{}", &self.source.text[inner.at..inner.end])),
            cast => Expression::Cast(cast.contains("int"), inner),
        };
        node(at, end, made)
    }

    fn primary(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let (at, end) = span(&pair);
        let written = pair.as_str().trim().to_owned();
        let made = match pair.as_rule() {
            Rule::group => {
                let inner = parts(pair).next();
                let mut inner = inner.map(|inner| self.expression(inner));
                if let Some(inner) = inner.take() {
                    return inner;
                }
                Expression::Raw(written)
            }
            Rule::text => concatenated(pair),
            Rule::number => match text::number(&written) {
                Some(number) => {
                    self.watch_number(at, &written, number);
                    Expression::Number(number)
                }
                None => Expression::Raw(written),
            },
            Rule::address => Expression::Address(written),
            Rule::pv => Expression::Variable(written),
            Rule::select => Expression::Select(written),
            Rule::word => Expression::Word(written),
            Rule::call => Expression::Call(self.call(pair)),
            _ => Expression::Raw(written),
        };
        node(at, end, made)
    }
}

fn concatenated(pair: Pair<'_, Rule>) -> Expression {
    let mut whole = String::new();
    let mut quote = '"';
    for string in parts(pair) {
        let string = string.as_str();
        quote = string.chars().next().unwrap_or('"');
        whole.push_str(string.get(1..string.len().saturating_sub(1)).unwrap_or_default());
    }
    Expression::Text { raw: whole, quote }
}

/// One spelling for each operator.
fn canonical(operator: &str, dialect: Dialect) -> String {
    match operator {
        "and" => "&&",
        "or" => "||",
        "|" if dialect.single_bar_is_logical() => "||",
        "&" if dialect.single_bar_is_logical() => "&&",
        "mod" => "%",
        "div" => "/",
        "eq" | "ieq" => "==",
        "ne" | "ine" => "!=",
        other => other,
    }
    .to_owned()
}

/// The parts of a pair without the keywords, which say nothing that its rule does not.
fn parts(pair: Pair<'_, Rule>) -> impl Iterator<Item = Pair<'_, Rule>> + Clone {
    let is_keyword = |part: &Pair<'_, Rule>| {
        matches!(
            part.as_rule(),
            Rule::kw_if
                | Rule::kw_else
                | Rule::kw_while
                | Rule::kw_for
                | Rule::kw_switch
                | Rule::kw_case
                | Rule::flags_word
        )
    };
    pair.into_inner().filter(move |part| !is_keyword(part))
}

fn node(at: usize, end: usize, it: Expression) -> Expr {
    Box::new(Node { at, end, it })
}

fn span(pair: &Pair<'_, Rule>) -> (usize, usize) {
    let span = pair.as_span();
    let text = span.as_str();
    (span.start(), span.start() + text.trim_end().len())
}

fn first_text(pair: Pair<'_, Rule>) -> String {
    let text = parts(pair).next().map_or("", |text| text.as_str());
    text.trim_matches(['"', '\'']).to_owned()
}
