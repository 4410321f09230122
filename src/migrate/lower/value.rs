//! Values: texts, numbers, variables and what is made of them.

use super::super::finding::Code;
use super::super::preprocess::Constant;
use super::super::text::{literal, unescape};
use super::super::tree::{Expr, Expression, Node, Statement};
use super::super::variable::{self, Variable};
use super::order::header;
use super::stack::{attribute, is_null};
use super::{Lowering, Type};

/// An expression of the new script with its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) kind: Type,
}

impl Value {
    pub(super) fn new(text: impl Into<String>, kind: Type) -> Self {
        Self { text: text.into(), kind }
    }

    /// The value as text.
    pub(super) fn as_text(&self) -> String {
        match self.kind {
            Type::Text => self.text.clone(),
            Type::Int | Type::Bool => match self.text.parse::<i64>() {
                Ok(number) => literal(&number.to_string()),
                Err(_) => format!("{}.to_string()", self.text),
            },
            Type::Any => format!("(\"\" + {})", self.text),
        }
    }

    fn is_literal(&self) -> bool {
        self.text.starts_with('"') && self.kind == Type::Text
    }
}

impl Lowering<'_> {
    pub(super) fn value(&mut self, expression: &Expr) -> Value {
        let (at, end) = (expression.at, expression.end);
        match &expression.it {
            Expression::Text { raw, quote } => {
                Value::new(literal(&unescape(raw, *quote, self.world.dialect)), Type::Text)
            }
            Expression::Number(number) => Value::new(number.to_string(), Type::Int),
            Expression::Address(address) => Value::new(literal(address), Type::Text),
            Expression::Variable(written) => match variable::parse(written, false) {
                Some((variable, _)) => {
                    self.variable(at, end, &attribute(variable, self.world.dialect))
                }
                None => self.no_value(at, end),
            },
            Expression::Select(written) => self.select(at, end, written),
            Expression::Word(word) => self.word(at, end, word),
            Expression::Call(call) => self.call_value(at, end, call),
            Expression::Minus(inner) => {
                let inner = self.number(inner);
                Value::new(format!("-{inner}"), Type::Int)
            }
            Expression::Cast(true, inner) => Value::new(self.number(inner), Type::Int),
            Expression::Cast(false, inner) => Value::new(self.value(inner).as_text(), Type::Text),
            Expression::Binary { operator, left, right } => {
                self.arithmetic(expression, operator, left, right)
            }
            Expression::Not(_) | Expression::Defined(_) => {
                Value::new(self.condition(expression), Type::Bool)
            }
            Expression::Raw(_) => self.no_value(at, end),
        }
    }

    fn no_value(&mut self, at: usize, end: usize) -> Value {
        let original = self.original(at, end);
        let finding = self.find(Code::Variable, at, format!("`{original}` has no counterpart"));
        finding.help = "translate it by hand".to_owned();
        Value::new(self.unsupported(at, end), Type::Bool)
    }

    fn select(&mut self, at: usize, end: usize, written: &str) -> Value {
        if let Some(name) = written.strip_prefix("@cfg_get.")
            && let Some(value) = self.custom(name)
        {
            return value;
        }
        match variable::select(written) {
            Some(variable) => self.variable(at, end, &variable),
            None => self.no_value(at, end),
        }
    }

    /// A setting of the administrator's own: `pstn.gw_ip = "…"`.
    fn custom(&mut self, name: &str) -> Option<Value> {
        let value = self.world.custom.get(name)?;
        let kind = if value.parse::<i64>().is_ok() { Type::Int } else { Type::Text };
        let constant = name.replace('.', "_").to_ascii_uppercase();
        self.constants.insert(constant.clone());
        Some(Value::new(constant, kind))
    }

    pub(super) fn constant(&mut self, name: &str) -> Option<Value> {
        let kind = match self.world.source.constants.get(name)? {
            Constant::Number(_) => Type::Int,
            Constant::Text(_) => Type::Text,
            Constant::Nothing => return None,
        };
        self.constants.insert(name.to_owned());
        Some(Value::new(name, kind))
    }

    fn word(&mut self, at: usize, end: usize, word: &str) -> Value {
        if let Some(value) = self.constant(word) {
            return value;
        }
        let (text, kind) = match word {
            "method" => ("method()", Type::Text),
            "uri" => ("ruri()", Type::Text),
            "uri:host" => ("ruri_host()", Type::Text),
            "uri:port" => ("ruri_port()", Type::Int),
            "from_uri" => ("from_uri()", Type::Text),
            "to_uri" => ("to_uri()", Type::Text),
            "src_ip" => ("src_ip()", Type::Text),
            "src_port" => ("src_port()", Type::Int),
            "dst_ip" | "to_ip" => ("pv(\"$Ri\")", Type::Text),
            "dst_port" | "to_port" => ("number(pv(\"$Rp\"))", Type::Int),
            "status" => ("status()", Type::Int),
            "proto" => ("proto()", Type::Text),
            "max_len" => ("65535", Type::Int),
            "retcode" => return self.last_code(at, end),
            "yes" | "on" | "true" | "enable" => ("1", Type::Int),
            "no" | "off" | "false" | "disable" => ("0", Type::Int),
            "INET" | "inet" | "IPV4" | "ipv4" => ("4", Type::Int),
            "INET6" | "inet6" | "IPV6" | "ipv6" => ("6", Type::Int),
            "NULL" => ("()", Type::Any),
            _ => return self.no_value(at, end),
        };
        Value::new(text, kind)
    }

    /// `$rc`: known right behind the call that made it.
    fn last_code(&mut self, at: usize, end: usize) -> Value {
        match self.here.last_code {
            Some(code) => Value::new(code.to_string(), Type::Int),
            None => self.no_value(at, end),
        }
    }

    pub(super) fn variable(&mut self, at: usize, end: usize, variable: &Variable) -> Value {
        let value = match self.plain_variable(at, end, variable) {
            Some(value) => value,
            None => return self.no_value(at, end),
        };
        let mut value = value;
        for transformation in &variable.transformations {
            match variable::transformed(&value.text, value.kind, transformation) {
                Some((text, kind)) => value = Value::new(text, kind),
                None => return self.no_value(at, end),
            }
        }
        value
    }

    pub(super) fn plain_variable(
        &mut self,
        at: usize,
        end: usize,
        variable: &Variable,
    ) -> Option<Value> {
        let name = variable.name.as_str();
        let Some(argument) = &variable.argument else {
            return match name {
                "null" => Some(Value::new("()", Type::Any)),
                "retcode" | "rc" => Some(self.last_code(at, end)),
                _ if name.starts_with("f.") || name.starts_with("t.") => None,
                "_s" => None,
                _ => {
                    let (text, kind) = variable::read(name)?;
                    Some(self.header_as_it_came(at, variable, text, kind))
                }
            };
        };
        if let Some(index) = &variable.index
            && index != "0"
            && index != "*"
            && name != "avp"
        {
            return None;
        }
        match name {
            "hdr" | "hdrc" => {
                let made = format!("hdr({})", literal(argument.trim_matches('"')));
                match name {
                    "hdr" => Some(self.header_as_it_came(at, variable, made, Type::Text)),
                    _ => None,
                }
            }
            "avp" | "var" | "xavp" => self.kept_value(name, variable),
            "sht" => {
                let (table, key) = self.table_and_key(argument)?;
                Some(Value::new(format!("sht_get({table}, {key})"), Type::Any))
            }
            "def" => self.constant(argument),
            "defn" => Some(Value::new(
                if self.world.source.constants.contains_key(argument) { "1" } else { "0" },
                Type::Int,
            )),
            "sel" => self.custom(argument.strip_prefix("cfg_get.")?),
            "_s" => {
                let text = argument.clone();
                self.formatted(at, &text).map(|text| Value::new(text, Type::Text))
            }
            _ => None,
        }
    }

    fn is_asked_before(&self, at: usize, variable: &Variable) -> bool {
        header(variable).is_some_and(|header| self.is_asked_first(at, &header))
    }

    fn header_as_it_came(
        &mut self,
        at: usize,
        variable: &Variable,
        text: String,
        kind: Type,
    ) -> Value {
        match header(variable).filter(|header| self.is_asked_first(at, header)) {
            Some(header) => {
                Value::new(self.asked_first(at, &format!("came_{header}"), &text), kind)
            }
            None => Value::new(text, kind),
        }
    }

    /// Table and key of `$sht(table=>key)`.
    fn table_and_key(&mut self, argument: &str) -> Option<(String, String)> {
        let (table, key) = argument.split_once("=>")?;
        if key.contains("::") {
            return None;
        }
        let key = self.formatted(0, key.trim())?;
        Some((literal(table.trim()), key))
    }

    /// A text with variables as an expression; none when one of them has no counterpart.
    pub(super) fn formatted(&mut self, at: usize, text: &str) -> Option<String> {
        let mut pieces: Vec<Value> = Vec::new();
        // What the server can fill in by itself, so far.
        let (mut plain, mut has_variables) = (String::new(), false);
        let mut rest = text;
        while let Some(position) = rest.find('$') {
            plain.push_str(&rest[..position].replace('$', "$$"));
            rest = &rest[position..];
            let Some((found, length)) = variable::parse(rest, true) else {
                plain.push_str("$$");
                rest = rest[1..].strip_prefix('$').unwrap_or(&rest[1..]);
                continue;
            };
            rest = &rest[length..];
            match in_place(&found).filter(|_| !self.is_asked_before(at, &found)) {
                Some(written)
                    if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '(') =>
                {
                    plain.push_str(&format!("$({})", &written[1..]));
                    has_variables = true;
                }
                Some(written) => {
                    plain.push_str(&written);
                    has_variables = true;
                }
                None => {
                    push_plain(&mut pieces, &mut plain, &mut has_variables);
                    let value = self.plain_formatted(at, &found)?;
                    pieces.push(value);
                }
            }
        }
        plain.push_str(rest);
        if pieces.is_empty() {
            return Some(whole(&plain, has_variables));
        }
        push_plain(&mut pieces, &mut plain, &mut has_variables);
        if !pieces.iter().any(|piece| piece.kind == Type::Text) || pieces[0].kind != Type::Text {
            pieces.insert(0, Value::new("\"\"", Type::Text));
        }
        let texts: Vec<String> = pieces.into_iter().map(|piece| piece.text).collect();
        Some(texts.join(" + "))
    }

    fn plain_formatted(&mut self, at: usize, found: &Variable) -> Option<Value> {
        let before = self.findings.len();
        let value = self.variable(at, at, found);
        match self.findings.len() > before {
            true => {
                self.findings.truncate(before);
                None
            }
            false => Some(value),
        }
    }

    pub(super) fn number(&mut self, expression: &Expr) -> String {
        let value = self.value(expression);
        match value.kind {
            Type::Int => value.text,
            Type::Any => format!("({} ?? 0)", value.text),
            Type::Text if value.is_literal() => {
                value.text.trim_matches('"').parse::<i64>().map_or(value.text, |it| it.to_string())
            }
            Type::Text => format!("number({})", value.text),
            Type::Bool => format!("(if {} {{ 1 }} else {{ 0 }})", value.text),
        }
    }

    fn arithmetic(&mut self, whole: &Expr, operator: &str, left: &Expr, right: &Expr) -> Value {
        match operator {
            "+" => {
                let (one, other) = (self.value(left), self.value(right));
                match (one.kind, other.kind) {
                    (Type::Int, Type::Int) => {
                        Value::new(format!("{} + {}", one.text, other.text), Type::Int)
                    }
                    (Type::Any, Type::Int) => {
                        Value::new(format!("({} ?? 0) + {}", one.text, other.text), Type::Any)
                    }
                    _ => Value::new(format!("{} + {}", one.as_text(), other.text), Type::Text),
                }
            }
            "-" | "*" | "/" | "%" | "|" | "&" | "^" | "<<" | ">>" => {
                let (one, other) = (self.number(left), self.number(right));
                Value::new(format!("({one} {operator} {other})"), Type::Int)
            }
            _ => Value::new(self.condition(whole), Type::Bool),
        }
    }

    pub(super) fn assign(
        &mut self,
        node: &Node<Statement>,
        to: &str,
        operator: &str,
        value: &Expr,
    ) {
        let parsed = match to.starts_with('@') {
            true => None,
            false => variable::parse(to, false).map(|(variable, _)| variable),
        };
        let variable = parsed.map(|variable| attribute(variable, self.world.dialect));
        let text = variable.and_then(|variable| self.assignment(&variable, operator, value));
        let line = match text {
            Some(text) => self.marked(node.at, format!("{text};")),
            None => {
                let original = self.original(node.at, node.end);
                let finding =
                    self.find(Code::Variable, node.at, format!("`{to}` cannot be set here"));
                finding.original = original;
                finding.help = "translate it by hand".to_owned();
                format!("{};", self.unsupported(node.at, node.end))
            }
        };
        self.line(&line);
    }

    fn assignment(&mut self, variable: &Variable, operator: &str, value: &Expr) -> Option<String> {
        let is_null = is_null(value);
        let name = variable.name.as_str();
        let Some(argument) = &variable.argument else {
            if is_null && name == "du" {
                return Some("resetdsturi()".to_owned());
            }
            let (call, kind) = variable::write(name)?;
            let value = match kind {
                _ if is_null => "\"\"".to_owned(),
                Type::Int => self.number(value),
                _ => self.assigned(value).as_text(),
            };
            return (operator != "+=").then(|| call.replace("{}", &value));
        };
        match name {
            "avp" | "var" | "xavp" => self.kept_assignment(name, variable, operator, value),
            "sht" => {
                let (table, key) = self.table_and_key(argument)?;
                if is_null {
                    return Some(format!("sht_rm({table}, {key})"));
                }
                let value = self.assigned(value);
                match operator {
                    "+=" => None,
                    _ => Some(format!("sht_set({table}, {key}, {})", value.text)),
                }
            }
            "shtex" => {
                let (table, key) = self.table_and_key(argument)?;
                let value = self.number(value);
                Some(format!("sht_setex({table}, {key}, {value})"))
            }
            _ => None,
        }
    }

    /// A value that is stored: texts are filled in where the dialect does so.
    pub(super) fn assigned(&mut self, value: &Expr) -> Value {
        if let Expression::Text { raw, quote } = &value.it {
            let text = unescape(raw, *quote, self.world.dialect);
            let is_filled = matches!(
                self.world.dialect,
                super::super::dialect::Dialect::OpenSer
                    | super::super::dialect::Dialect::OpenSips
                    | super::super::dialect::Dialect::Kamailio
            );
            if is_filled
                && text.contains('$')
                && let Some(made) = self.formatted(value.at, &text)
            {
                return Value::new(made, Type::Text);
            }
            return Value::new(literal(&text), Type::Text);
        }
        self.value(value)
    }
}

/// The name under which a variable of the message is kept.
pub(super) fn variable_name(kind: &str, argument: &str) -> Option<String> {
    if argument.contains('$') {
        return None;
    }
    let name = argument.trim_start_matches("s:").replace("i:", "i").replace("=>", ".");
    let name = name.replace("[0]", "");
    Some(match kind {
        "var" => format!("var.{name}"),
        "xavp" => format!("xavp.{name}"),
        _ => name,
    })
}

/// A variable as the server fills it in, where it does.
fn in_place(variable: &Variable) -> Option<String> {
    if !variable.transformations.is_empty() {
        return None;
    }
    let is_first = variable.index.as_deref().is_none_or(|index| index == "0");
    match (&variable.argument, variable.name.as_str()) {
        (None, name) if variable::is_in_log(name) => Some(format!("${name}")),
        (None, "pr") => Some("$proto".to_owned()),
        (None, "T_reply_code") => Some("$rs".to_owned()),
        (None, "aU") => Some("$au".to_owned()),
        (Some(argument), "hdr") if is_first && !argument.contains('$') => {
            Some(format!("$hdr({})", argument.trim_matches('"')))
        }
        (Some(argument), kind @ ("avp" | "var" | "xavp")) if is_first => {
            Some(format!("$avp({})", variable_name(kind, argument)?))
        }
        _ => None,
    }
}

fn whole(plain: &str, has_variables: bool) -> String {
    if !has_variables {
        return literal(&plain.replace("$$", "$"));
    }
    // A text that is one variable is that variable.
    if let Some(name) = plain.strip_prefix('$')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && let Some((text, Type::Text)) = variable::read(name)
    {
        return text;
    }
    format!("pv({})", literal(plain))
}

fn push_plain(pieces: &mut Vec<Value>, plain: &mut String, has_variables: &mut bool) {
    if !plain.is_empty() {
        pieces.push(Value::new(whole(plain, *has_variables), Type::Text));
    }
    plain.clear();
    *has_variables = false;
}
