//! Variables with several values, one behind the other: which they are, and how they are set, read and taken away.
//!
//! The newest value is the variable itself, so that reading it is no different; `NAME.older` holds those behind it. A
//! variable that has one value at a time, or whose older values nobody can see, stays a plain one.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::super::dialect::Dialect;
use super::super::text::literal;
use super::super::tree::{Block, Call, Expr, Expression, Item, Node, Statement};
use super::super::variable::{self, Type, Variable};
use super::route::{self, DEEPEST, MOST_STEPS};
use super::value::{Value, variable_name};
use super::{Lowering, called_route};

/// What a statement does to the values of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// One more.
    Push,
    /// The newest goes.
    Pop,
    /// This one only.
    Only,
    /// None is left.
    Clear,
}

/// The variables of the message that have several values at a time, and whose older ones are asked for.
pub(super) fn stacked(items: &[Node<Item>], dialect: Dialect, text: &str) -> BTreeSet<String> {
    let mut seen = asked_by_index(text, dialect);
    route::all(items).for_each(|route| popped(&route.body, dialect, &mut seen));
    let (named, begun) = route::called_and_begun(items);
    let (main, later): (Vec<_>, Vec<_>) = begun.into_iter().partition(|it| route::is_main(it));
    // Of all variables together; behind the most of them, a variable may have several values.
    let steps = Cell::new(0);
    let holds_several = |name: &String| {
        let (routes, steps) = (&named, &steps);
        let known = BTreeMap::new();
        let mut walk = Walk { name, dialect, routes, known, left: 0, steps, depth: 0 };
        let mut most = main.last().map_or(0, |route| walk.whole(&route.body, 0));
        // Other routes run later, and more than once.
        for _ in 0..2 {
            for route in &later {
                most = most.max(walk.whole(&route.body, most));
            }
        }
        most > 1 || walk.known.values().any(|most| *most > 1) || steps.get() > MOST_STEPS
    };
    seen.into_iter().filter(holds_several).collect()
}

/// Variables of whose values one is asked for by its number: `$(avp(x)[1])`, in SER 2 `$x[2]`.
fn asked_by_index(text: &str, dialect: Dialect) -> BTreeSet<String> {
    let is_bare = dialect == Dialect::Ser2;
    let (begin, newest) = if is_bare { ("$", "1") } else { ("avp(", "0") };
    let found = text.split(begin).skip(1).filter_map(|rest| {
        let (argument, rest) = match is_bare {
            true => rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?),
            false => rest.split_once(')')?,
        };
        let index = rest.strip_prefix('[')?.split_once(']')?.0;
        (index.trim() != newest).then(|| variable_name("avp", argument.trim()))?
    });
    found.collect()
}

/// Collects the variables whose newest value is taken away somewhere.
fn popped(block: &Block, dialect: Dialect, found: &mut BTreeSet<String>) {
    for statement in &block.statements {
        if let Some((name, Change::Pop)) = change(&statement.it, dialect) {
            found.insert(name);
        }
        match &statement.it {
            Statement::If { then, otherwise, .. } => {
                popped(then, dialect, found);
                if let Some(otherwise) = otherwise {
                    popped(otherwise, dialect, found);
                }
            }
            Statement::While { body, .. } => popped(body, dialect, found),
            Statement::Block(body) => popped(body, dialect, found),
            Statement::Switch { cases, .. } => {
                cases.iter().for_each(|case| popped(&case.body, dialect, found));
            }
            _ => {}
        }
    }
}

/// The variable of the message that a statement changes, and how.
fn change(statement: &Statement, dialect: Dialect) -> Option<(String, Change)> {
    match statement {
        Statement::Assign { to, operator, value } => {
            let (found, _) = variable::parse(to, false)?;
            let found = attribute(found, dialect);
            let name = variable_name("avp", found.argument.as_deref()?)?;
            (found.name == "avp").then(|| (name, assigned(&found, operator, value, dialect)))
        }
        Statement::Call(call) => {
            let (index, is_deleted) = match call.name.as_str() {
                "avp_delete" => (0, true),
                "avp_copy" => (1, false),
                "get_profile_size" => (call.arguments.len().checked_sub(1)?, false),
                _ => return None,
            };
            let (name, flags) = argument(call.arguments.get(index)?)?;
            let change = match (is_deleted, flags.contains('g')) {
                (false, _) => Change::Push,
                (true, false) => Change::Pop,
                (true, true) => Change::Clear,
            };
            Some((name, change))
        }
        _ => None,
    }
}

/// The variable that an argument names, `"$avp(s:x)/g"`, and its flags.
fn argument(argument: &Expr) -> Option<(String, &str)> {
    let written = match &argument.it {
        Expression::Variable(written) | Expression::Text { raw: written, .. } => written,
        _ => return None,
    };
    let (written, flags) = written.split_once('/').unwrap_or((written, ""));
    let name = match variable::parse(written, false) {
        Some((found, _)) => found.argument?,
        None => written.to_owned(),
    };
    Some((variable_name("avp", &name)?, flags))
}

/// A bare `$name` of SER 2 is an attribute of the message; `[1]` is its newest value, `[-1]` its oldest, `[]` all.
pub(super) fn attribute(variable: Variable, dialect: Dialect) -> Variable {
    let is_bare = variable.argument.is_none() && !variable.name.contains('.');
    let is_own = matches!(variable.name.as_str(), "null" | "retcode" | "rc");
    if dialect != Dialect::Ser2 || !is_bare || is_own {
        return variable;
    }
    let index = variable.index.map(|index| match (index.trim(), index.trim().parse::<i64>()) {
        ("", _) => "*".to_owned(),
        (_, Ok(number @ 1..)) => (number - 1).to_string(),
        _ => index,
    });
    Variable { name: "avp".to_owned(), argument: Some(variable.name), index, ..variable }
}

pub(super) fn is_null(value: &Expr) -> bool {
    match &value.it {
        Expression::Variable(written) => written == "$null",
        Expression::Word(word) => word == "NULL",
        _ => false,
    }
}

/// SER 2 replaces with `=` and adds with `+=`; the others add with both, and replace with `:=` and `[*]`.
fn assigned(variable: &Variable, operator: &str, value: &Expr, dialect: Dialect) -> Change {
    let is_all = operator == ":=" || variable.index.as_deref() == Some("*");
    let is_all = is_all || (dialect == Dialect::Ser2 && operator == "=");
    match (is_null(value), is_all) {
        (true, true) => Change::Clear,
        (true, false) => Change::Pop,
        (false, true) => Change::Only,
        (false, false) => Change::Push,
    }
}

/// How many values a variable has at most, on any way through the routes.
struct Walk<'t> {
    name: &'t str,
    dialect: Dialect,
    routes: &'t BTreeMap<String, &'t Block>,
    /// What each route leaves behind, by what it finds; while it is walked, what it finds.
    known: BTreeMap<(String, usize), usize>,
    /// The most that any jump out of the loop or route leaves behind.
    left: usize,
    steps: &'t Cell<usize>,
    depth: usize,
}

impl Walk<'_> {
    /// A route or loop to its end, or to a jump out of it.
    fn whole(&mut self, block: &Block, values: usize) -> usize {
        let outside = std::mem::take(&mut self.left);
        let end = self.block(block, values).max(self.left);
        self.left = outside;
        end
    }

    fn block(&mut self, block: &Block, mut values: usize) -> usize {
        for statement in &block.statements {
            values = self.statement(&statement.it, values);
        }
        values
    }

    fn statement(&mut self, statement: &Statement, values: usize) -> usize {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST_STEPS {
            return values;
        }
        match change(statement, self.dialect) {
            Some((name, change)) if name == self.name => return self.changed(change, values),
            _ => {}
        }
        match statement {
            Statement::Call(call) => self.call(call, values),
            Statement::Assign { value, .. } => self.expression(value, values),
            Statement::If { condition, then, otherwise } => {
                let values = self.expression(condition, values);
                let otherwise = otherwise.as_deref().map(|block| self.block(block, values));
                self.block(then, values).max(otherwise.unwrap_or(values))
            }
            Statement::While { condition, body } => {
                let mut values = values;
                for _ in 0..2 {
                    values = self.expression(condition, values);
                    values = values.max(self.looped(body, values));
                }
                values
            }
            Statement::Switch { cases, .. } => {
                let ends = cases.iter().map(|case| self.looped(&case.body, values));
                ends.max().unwrap_or(values).max(values)
            }
            Statement::Block(block) => self.block(block, values),
            Statement::Jump { .. } => {
                self.left = self.left.max(values);
                0
            }
            Statement::Broken => values,
        }
    }

    /// What `break` leaves goes on behind the loop, what `return` leaves behind the route.
    fn looped(&mut self, body: &Block, values: usize) -> usize {
        let outside = std::mem::take(&mut self.left);
        let end = self.block(body, values).max(self.left);
        self.left = self.left.max(outside);
        end
    }

    fn changed(&mut self, change: Change, values: usize) -> usize {
        let after = match change {
            Change::Push => (values + 1).min(2),
            Change::Pop => values.saturating_sub(1),
            Change::Only => 1,
            Change::Clear => 0,
        };
        if after > 1 {
            self.known.insert((String::new(), 0), after);
        }
        after
    }

    fn call(&mut self, call: &Call, values: usize) -> usize {
        let Some(name) = called_route(call).filter(|_| call.name == "route") else { return values };
        let Some(body) = self.routes.get(&name).copied() else { return values };
        let key = (name, values);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        if self.depth == DEEPEST {
            self.steps.set(MOST_STEPS + 1);
            return values;
        }
        self.known.insert(key.clone(), values);
        self.depth += 1;
        let end = self.whole(body, values);
        self.depth -= 1;
        self.known.insert(key, end);
        end
    }

    fn expression(&mut self, expression: &Expr, values: usize) -> usize {
        match &expression.it {
            Expression::Call(call) => self.call(call, values),
            Expression::Not(inner) | Expression::Minus(inner) | Expression::Defined(inner) => {
                self.expression(inner, values)
            }
            Expression::Cast(_, inner) => self.expression(inner, values),
            Expression::Binary { left, right, .. } => {
                let values = self.expression(left, values);
                values.max(self.expression(right, values))
            }
            _ => values,
        }
    }
}

impl Lowering<'_> {
    /// A variable of the message as it is read, by the number of its value where there is one.
    pub(super) fn kept_value(&mut self, kind: &str, variable: &Variable) -> Option<Value> {
        let argument = variable.argument.as_deref()?;
        let name = variable_name(kind, argument)?;
        let (quoted, index) = (literal(&name), variable.index.as_deref().unwrap_or("0").trim());
        let text = match index {
            "0" => format!("avp({quoted})"),
            "*" if kind == "avp" && self.stacked.contains(&name) => format!("avp_list({quoted})"),
            "*" => format!("avp({quoted})"),
            _ if kind != "avp" => return None,
            _ => {
                let number = match index.parse::<i64>() {
                    Ok(number) => number.to_string(),
                    Err(_) => {
                        let (found, _) = variable::parse(index, false)?;
                        let value = self.plain_variable(0, 0, &found)?;
                        format!("({} ?? 0)", value.text)
                    }
                };
                format!("avp_at({quoted}, {number})")
            }
        };
        Some(Value::new(text, Type::Any))
    }

    /// The call that sets a variable of the message.
    pub(super) fn kept_assignment(
        &mut self,
        kind: &str,
        variable: &Variable,
        operator: &str,
        value: &Expr,
    ) -> Option<String> {
        let name = variable_name(kind, variable.argument.as_deref()?)?;
        if !matches!(variable.index.as_deref(), None | Some("0" | "*")) {
            return None;
        }
        let quoted = literal(&name);
        let has_several = kind == "avp" && self.stacked.contains(&name);
        let change = assigned(variable, operator, value, self.world.dialect);
        let call = match (has_several, change) {
            (false, Change::Pop | Change::Clear) => return Some(format!("del_avp({quoted})")),
            (true, Change::Pop) => return Some(format!("pop_avp({quoted})")),
            (true, Change::Clear) => return Some(format!("clear_avp({quoted})")),
            (false, _) => "set_avp",
            (true, Change::Push) => "push_avp",
            (true, Change::Only) => "only_avp",
        };
        let value = self.assigned(value).text;
        Some(match operator == "+=" && self.world.dialect != Dialect::Ser2 {
            true => format!("{call}({quoted}, (avp({quoted}) ?? 0) + {value})"),
            false => format!("{call}({quoted}, {value})"),
        })
    }

    /// A call that changes a variable with several values; none when its flags have no counterpart.
    pub(super) fn with_older_values(&self, call: &Call, text: String) -> Option<String> {
        let is_copy = call.name == "avp_copy";
        if is_copy && call.arguments.iter().filter_map(argument).any(|(_, flags)| !flags.is_empty())
        {
            return None;
        }
        let changed = change(&Statement::Call(call.clone()), self.world.dialect);
        let Some((_, change)) = changed.filter(|(name, _)| self.stacked.contains(name)) else {
            return Some(text);
        };
        Some(match change {
            Change::Push | Change::Only => text.replacen("set_avp(", "push_avp(", 1),
            Change::Pop => text.replacen("del_avp(", "pop_avp(", 1),
            Change::Clear => text.replacen("del_avp(", "clear_avp(", 1),
        })
    }
}
