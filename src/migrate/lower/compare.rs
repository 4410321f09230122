//! Conditions: truth, comparisons and the keywords of the old programs.

use super::super::finding::Code;
use super::super::text::{literal, unescape};
use super::super::tree::{Call, Expr, Expression};
use super::super::variable;
use super::{Lowering, MARK_CLOSE, MARK_OPEN, Type};

impl Lowering<'_> {
    /// An expression that is true or false.
    pub(super) fn condition(&mut self, expression: &Expr) -> String {
        let (at, end) = (expression.at, expression.end);
        match &expression.it {
            Expression::Binary { operator, left, right } => match operator.as_str() {
                "&&" | "||" => {
                    let one = self.joined(left, operator);
                    let other = self.joined(right, operator);
                    format!("{one} {operator} {other}")
                }
                "==" | "!=" | "=~" | "!~" | "<" | ">" | "<=" | ">=" => {
                    self.comparison(operator, left, right)
                }
                _ => format!("{} != 0", self.number(expression)),
            },
            Expression::Not(inner) => self.negated(inner),
            Expression::Defined(inner) => {
                let value = self.value(inner);
                match value.kind {
                    Type::Text => format!("{} != \"\"", value.text),
                    Type::Any => format!("{} != ()", value.text),
                    _ => "true".to_owned(),
                }
            }
            Expression::Number(number) => (*number > 0).to_string(),
            Expression::Word(word) => self.keyword_condition(at, end, word),
            Expression::Raw(_) => self.unsupported(at, end),
            _ => {
                let value = self.value(expression);
                truth(&value.text, value.kind)
            }
        }
    }

    /// One side of `&&` or `||`, in brackets where the other operator stands in it.
    fn joined(&mut self, side: &Expr, operator: &str) -> String {
        let text = self.condition(side);
        match &side.it {
            Expression::Binary { operator: inner, .. }
                if matches!(inner.as_str(), "&&" | "||") && inner != operator =>
            {
                format!("({text})")
            }
            _ => text,
        }
    }

    fn negated(&mut self, inner: &Expr) -> String {
        if let Expression::Binary { operator, left, right } = &inner.it {
            let opposite = match operator.as_str() {
                "==" => "!=",
                "!=" => "==",
                "=~" => "!~",
                "!~" => "=~",
                _ => "",
            };
            if !opposite.is_empty() {
                return self.comparison(opposite, left, right);
            }
        }
        let text = self.condition(inner);
        negation(&text)
    }

    fn keyword_condition(&mut self, at: usize, end: usize, word: &str) -> String {
        match word {
            "myself" => "is_myself(ruri())".to_owned(),
            "uri" | "from_uri" | "to_uri" | "method" => "true".to_owned(),
            "true" | "yes" | "on" => "true".to_owned(),
            "false" | "no" | "off" => "false".to_owned(),
            // A function without brackets.
            _ if super::super::functions::row(word, 0).is_some() => {
                let call = Call { name: word.to_owned(), arguments: Vec::new() };
                self.call_value(at, end, &call).text
            }
            _ => {
                let value = match self.constant(word) {
                    Some(value) => value,
                    None => {
                        let message = format!("`{word}` has no counterpart");
                        self.find(Code::Variable, at, message).help =
                            "translate it by hand".to_owned();
                        return self.unsupported(at, end);
                    }
                };
                truth(&value.text, value.kind)
            }
        }
    }

    pub(super) fn comparison(&mut self, operator: &str, left: &Expr, right: &Expr) -> String {
        // `myself == uri` is `uri == myself`.
        if is_word(left, "myself") && !is_word(right, "myself") {
            return self.comparison(operator, right, left);
        }
        let subject = subject(left);
        let (is_negative, operator) = match operator {
            "!=" => (true, "=="),
            "!~" => (true, "=~"),
            other => (false, other),
        };
        let made = match (subject.as_str(), operator) {
            (_, "==") if is_word(right, "myself") => Some(self.is_myself(&subject, left)),
            ("method", "==") => self.method_is(right),
            ("method", "=~") => self.method_matches(right),
            ("status", "==" | "=~") => self.status_is(operator, right),
            ("msg:len", "<" | ">" | "<=" | ">=") => self.length(operator, right),
            ("src_ip" | "dst_ip" | "to_ip", "==") => self.address_is(left, right),
            ("proto", "==") => self.protocol_is(right),
            ("af", "==") => self.family_is(right),
            _ => None,
        };
        let made = match made {
            Some(made) => made,
            None => return self.plain_comparison(is_negative, operator, left, right),
        };
        if is_negative { negation(&made) } else { made }
    }

    fn is_myself(&mut self, subject: &str, left: &Expr) -> String {
        match subject {
            "uri" => "is_myself(ruri())".to_owned(),
            "from_uri" => "is_myself(from_uri())".to_owned(),
            "to_uri" => "is_myself(to_uri())".to_owned(),
            "src_ip" => "is_myself(\"sip:\" + src_ip())".to_owned(),
            "dst_ip" | "to_ip" => "true".to_owned(),
            _ => {
                let value = self.value(left);
                let is_uri = value.text.contains("uri()");
                match is_uri {
                    true => format!("is_myself({})", value.text),
                    false => format!("is_myself(\"sip:\" + {})", value.text),
                }
            }
        }
    }

    fn method_is(&mut self, right: &Expr) -> Option<String> {
        let name = self.plain_text(right)?;
        let is_name = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        is_name.then(|| format!("is_method({})", literal(&name)))
    }

    /// `method =~ "^(INVITE|ACK)$"`
    fn method_matches(&mut self, right: &Expr) -> Option<String> {
        let pattern = self.plain_text(right)?;
        let inner = pattern.trim_start_matches('^').trim_end_matches('$');
        let inner =
            inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
        let is_list = inner
            .split('|')
            .all(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase()));
        is_list.then(|| format!("is_method({})", literal(inner)))
    }

    /// The status is searched, not compared: `2[0-9][0-9]` may stand anywhere in it.
    fn status_is(&mut self, operator: &str, right: &Expr) -> Option<String> {
        let wanted = self.plain_text(right)?;
        let pattern = match operator {
            "==" => literal(&format!("^{wanted}$")),
            _ => self.pattern(right.at, &wanted, false)?,
        };
        Some(format!("t_check_status({pattern})"))
    }

    fn length(&mut self, operator: &str, right: &Expr) -> Option<String> {
        let limit = self.number(right);
        let below = match limit.parse::<i64>() {
            Ok(number) => (number - 1).to_string(),
            Err(_) => format!("{limit} - 1"),
        };
        Some(match operator {
            ">" => format!("len_gt({limit})"),
            ">=" => format!("len_gt({below})"),
            "<" => format!("!len_gt({below})"),
            _ => format!("!len_gt({limit})"),
        })
    }

    /// An address, or a network whose mask ends with an octet.
    fn address_is(&mut self, left: &Expr, right: &Expr) -> Option<String> {
        let written = match &right.it {
            Expression::Address(written) => written.clone(),
            Expression::Text { raw, .. } => raw.clone(),
            _ => return None,
        };
        let subject = self.value(left).text;
        let (address, mask) = written.split_once('/').unwrap_or((&written, ""));
        let address = address.trim_matches(['[', ']']);
        let octets = match mask {
            "" | "32" | "255.255.255.255" => {
                return Some(format!("{subject} == {}", literal(address)));
            }
            "8" | "255.0.0.0" => 1,
            "16" | "255.255.0.0" => 2,
            "24" | "255.255.255.0" => 3,
            _ => return None,
        };
        let parts: Vec<&str> = address.split('.').take(octets).collect();
        let start = format!("{}.", parts.join("."));
        (parts.len() == octets).then(|| format!("{subject}.starts_with({})", literal(&start)))
    }

    fn protocol_is(&mut self, right: &Expr) -> Option<String> {
        let name = self.plain_text(right)?.to_ascii_lowercase();
        Some(format!("proto() == {}", literal(&name)))
    }

    fn family_is(&mut self, right: &Expr) -> Option<String> {
        let name = self.plain_text(right)?.to_ascii_lowercase();
        match name.as_str() {
            "inet6" | "ipv6" => Some("src_ip().contains(\":\")".to_owned()),
            "inet" | "ipv4" => Some("!src_ip().contains(\":\")".to_owned()),
            _ => None,
        }
    }

    fn plain_comparison(
        &mut self,
        is_negative: bool,
        operator: &str,
        left: &Expr,
        right: &Expr,
    ) -> String {
        let is_null = matches!(&right.it, Expression::Variable(name) if name == "$null")
            || is_word(right, "NULL");
        let one = self.value(left);
        if is_null {
            let nothing = match one.kind {
                Type::Text => "\"\"",
                Type::Int => "0",
                _ => "()",
            };
            let sign = if is_negative { "!=" } else { "==" };
            return format!("{} {sign} {nothing}", one.text);
        }
        if operator == "=~" {
            return self.matching(is_negative, &one.as_text(), right);
        }
        if matches!(operator, "<" | ">" | "<=" | ">=") {
            let (one, other) = (self.number(left), self.number(right));
            return format!("{one} {operator} {other}");
        }
        let sign = if is_negative { "!=" } else { "==" };
        let other = self.compared(right);
        let is_keyword = matches!(left.it, Expression::Word(_));
        // What was never set was 0 in `$var`.
        let is_var = matches!(&left.it, Expression::Variable(name) if name.starts_with("$var("));
        let may_be_zero = other.text.parse::<i64>().map_or(true, |number| number == 0);
        if is_var && one.kind == Type::Any && other.kind == Type::Int && may_be_zero {
            return format!("({} ?? 0) {sign} {}", one.text, other.text);
        }
        let ignores_case = self.world.dialect.equality_ignores_case() || is_keyword;
        match (one.kind, other.kind) {
            (Type::Int, Type::Text) => {
                let number = self.number(right);
                format!("{} {sign} {number}", one.text)
            }
            (Type::Text, Type::Int) => format!("{} {sign} {}", one.text, other.as_text()),
            (Type::Text, Type::Text)
                if ignores_case && other.text.chars().any(char::is_alphabetic) =>
            {
                format!("{} {sign} {}", lowered(&one.text), lowered(&other.text))
            }
            (Type::Bool, Type::Int) => {
                let is_true = other.text.parse::<i64>().is_ok_and(|number| number > 0);
                match is_true != is_negative {
                    true => one.text,
                    false => negation(&one.text),
                }
            }
            _ => format!("{} {sign} {}", one.text, other.text),
        }
    }

    fn compared(&mut self, right: &Expr) -> super::value::Value {
        if let Expression::Text { raw, quote } = &right.it {
            let text = unescape(raw, *quote, self.world.dialect);
            if text.contains('$')
                && let Some(made) = self.formatted(right.at, &text)
            {
                return super::value::Value::new(made, Type::Text);
            }
        }
        self.value(right)
    }

    fn matching(&mut self, is_negative: bool, subject: &str, right: &Expr) -> String {
        let posix = self.plain_text(right);
        let pattern = posix.and_then(|posix| self.pattern(right.at, &posix, false));
        let Some(pattern) = pattern else {
            let original = self.original(right.at, right.end);
            let finding = self.find(Code::Regex, right.at, "a variable in a regular expression");
            finding.original = original;
            finding.help = "build the pattern with `pv()` and `matches()`".to_owned();
            return self.unsupported(right.at, right.end);
        };
        let sign = if is_negative { "!" } else { "" };
        format!("{sign}matches({subject}, {pattern})")
    }
}

/// What a comparison is about: a keyword, or the keyword that a variable stands for.
fn subject(left: &Expr) -> String {
    match &left.it {
        Expression::Word(word) => word.clone(),
        Expression::Variable(written) => match written.as_str() {
            "$rm" => "method",
            "$rs" | "$T_reply_code" => "status",
            "$si" => "src_ip",
            "$ru" => "uri",
            "$fu" => "from_uri",
            "$tu" => "to_uri",
            "$pr" | "$proto" => "proto",
            "$ml" => "msg:len",
            "$af" => "af",
            "$Ri" => "dst_ip",
            _ => "",
        }
        .to_owned(),
        Expression::Select(written) => match variable::select(written) {
            Some(found) if found.name == "rm" => "method".to_owned(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn is_word(expression: &Expr, word: &str) -> bool {
    matches!(&expression.it, Expression::Word(found) if found == word)
}

/// What counts as true.
fn truth(text: &str, kind: Type) -> String {
    match kind {
        Type::Bool => text.to_owned(),
        Type::Int => format!("{text} != 0"),
        Type::Text => format!("{text} != \"\""),
        Type::Any => format!("!({text} in [(), 0, \"\"])"),
    }
}

/// The opposite of a condition.
fn negation(text: &str) -> String {
    match text {
        "true" => return "false".to_owned(),
        "false" => return "true".to_owned(),
        _ => {}
    }
    let is_call = text.ends_with(')')
        && !text.contains(" && ")
        && !text.contains(" || ")
        && !has_comparison(text);
    let is_name =
        |c: char| c.is_ascii_alphanumeric() || c == '_' || c == MARK_OPEN || c == MARK_CLOSE;
    match text.strip_prefix('!') {
        None if text.chars().all(is_name) => format!("!{text}"),
        Some(rest) if is_call => rest.to_owned(),
        None if is_call => format!("!{text}"),
        _ => format!("!({text})"),
    }
}

/// Does a comparison stand outside of brackets and texts?
fn has_comparison(text: &str) -> bool {
    let mut depth = 0;
    let mut in_text = false;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            '=' | '<' | '>' | '+' if depth == 0 => return true,
            'i' if depth == 0 && text[at..].starts_with("in [") => return true,
            _ => {}
        }
    }
    false
}

fn lowered(text: &str) -> String {
    match text.starts_with('"') && text.ends_with('"') && !text.contains(" + ") {
        true => text.to_lowercase(),
        false => format!("{text}.to_lower()"),
    }
}
