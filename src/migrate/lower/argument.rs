//! Arguments of calls, each as its function wants it, and the log.

use super::super::dialect::Dialect;
use super::super::finding::Code;
use super::super::text::{self, literal, unescape};
use super::super::tree::{Call, Expr, Expression};
use super::super::variable;
use super::{Lowering, Type};

/// Kamailio's level of each log function with a level of its own.
const LOGS: &[(&str, &str)] = &[
    ("xdbg", "dbg"),
    ("xinfo", "info"),
    ("xnotice", "notice"),
    ("xwarn", "warn"),
    ("xerr", "err"),
    ("xbug", "err"),
    ("xcrit", "err"),
    ("xalert", "err"),
];

/// Log functions by the old names of levels.
const LEVELS: &[(&str, &str)] = &[
    ("L_ALERT", "err"),
    ("L_BUG", "err"),
    ("L_CRIT", "err"),
    ("L_CRIT2", "err"),
    ("L_ERR", "err"),
    ("L_WARN", "warn"),
    ("L_NOTICE", "notice"),
    ("L_INFO", "info"),
    ("L_DBG", "dbg"),
];

impl Lowering<'_> {
    /// A template with its arguments; none when one has no counterpart.
    pub(super) fn filled(&mut self, template: &str, call: &Call) -> Option<String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            let end = at + rest[at..].find('}')?;
            let (index, kind) = rest[at + 1..end].split_once(':')?;
            let argument = call.arguments.get(index.parse::<usize>().ok()?)?;
            if kind == "h" {
                out.push_str(&self.header_line(argument)?);
            } else {
                out.push_str(&self.argument(argument, kind)?);
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        let name = call.name.as_str();
        Some(match name {
            "m_store" | "m_dump" => out.replace("(\"\")", "()"),
            _ => out,
        })
    }

    fn argument(&mut self, argument: &Expr, kind: &str) -> Option<String> {
        match kind {
            "i" => self.integer(argument),
            "t" => self.text_argument(argument),
            "v" => Some(self.value_argument(argument)?.as_text()),
            "u" => self.uri_argument(argument),
            "s" => self
                .plain_text(argument)
                .map(|text| literal(&text))
                .or_else(|| self.text_argument(argument)),
            "r" | "w" => {
                let posix = self.plain_text(argument)?;
                self.pattern(argument.at, &posix, kind == "w")
            }
            "x" => self.substitution(argument),
            "b" => self.flag(argument),
            "n" => self.route_name(argument),
            "a" => self.registrar_flags(argument),
            "q" => self.challenge_flags(argument),
            "f" => {
                let text = self.plain_text(argument)?;
                text.parse::<f64>().ok()?;
                Some(if text.contains('.') { text } else { format!("{text}.0") })
            }
            "m" => self.stored_address(argument),
            "p" => self.message_variable(argument),
            _ => None,
        }
    }

    /// The text of an argument that holds no variables, as the dialect reads it.
    pub(super) fn plain_text(&self, argument: &Expr) -> Option<String> {
        match &argument.it {
            Expression::Text { raw, quote } => Some(unescape(raw, *quote, self.world.dialect)),
            Expression::Word(word) => match self.world.source.constants.get(word) {
                Some(super::super::preprocess::Constant::Text(text)) => Some(text.clone()),
                Some(super::super::preprocess::Constant::Number(number)) => {
                    Some(number.to_string())
                }
                _ => Some(word.clone()),
            },
            Expression::Address(text) | Expression::Raw(text) => Some(text.clone()),
            Expression::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn value_argument(&mut self, argument: &Expr) -> Option<super::value::Value> {
        if let Expression::Text { .. } = &argument.it {
            let text = self.text_argument(argument)?;
            return Some(super::value::Value::new(text, Type::Text));
        }
        let before = self.findings.len();
        let value = self.value(argument);
        if self.findings.len() > before {
            self.findings.truncate(before);
            return None;
        }
        Some(value)
    }

    /// Text in which the old program fills in variables.
    fn text_argument(&mut self, argument: &Expr) -> Option<String> {
        match &argument.it {
            Expression::Text { .. } => {
                let text = self.plain_text(argument)?;
                match self.world.dialect {
                    Dialect::Ser0 => Some(literal(&text)),
                    _ => self.formatted(argument.at, &text),
                }
            }
            Expression::Address(_) | Expression::Raw(_) => {
                let text = self.plain_text(argument)?;
                Some(literal(&text))
            }
            Expression::Word(word) if self.world.source.constants.contains_key(word) => {
                let value = self.constant(word)?;
                match value.kind {
                    Type::Text if !self.plain_text(argument)?.contains('$') => Some(value.text),
                    Type::Text => {
                        let text = self.plain_text(argument)?;
                        self.formatted(argument.at, &text)
                    }
                    _ => Some(value.as_text()),
                }
            }
            Expression::Word(word) if !word.contains(':') => {
                let before = self.findings.len();
                let value = self.value(argument);
                match self.findings.len() > before {
                    true => {
                        self.findings.truncate(before);
                        Some(literal(word))
                    }
                    false => Some(value.as_text()),
                }
            }
            _ => Some(self.value_argument(argument)?.as_text()),
        }
    }

    fn uri_argument(&mut self, argument: &Expr) -> Option<String> {
        let text = self.plain_text(argument);
        match text.as_deref() {
            // A domain alone.
            Some("$rd" | "$(rd)") => Some("ruri()".to_owned()),
            Some("$fd") => Some("from_uri()".to_owned()),
            Some("$td") => Some("to_uri()".to_owned()),
            Some(text)
                if !text.contains("sip:")
                    && !text.contains("$ru")
                    && !text.contains("$fu")
                    && !text.contains("$tu") =>
            {
                let made = self.text_argument(argument)?;
                Some(format!("\"sip:\" + {made}"))
            }
            Some(_) => self.text_argument(argument),
            None => match &argument.it {
                Expression::Variable(name) => match name.as_str() {
                    "$rd" => Some("ruri()".to_owned()),
                    "$fd" => Some("from_uri()".to_owned()),
                    "$td" => Some("to_uri()".to_owned()),
                    "$ru" | "$fu" | "$tu" => Some(self.value_argument(argument)?.text),
                    _ => Some(format!("\"sip:\" + {}", self.value_argument(argument)?.text)),
                },
                _ => None,
            },
        }
    }

    fn integer(&mut self, argument: &Expr) -> Option<String> {
        if let Expression::Text { .. } = &argument.it {
            let text = self.plain_text(argument)?;
            if let Some(number) = text::decimal(text.trim()) {
                return Some(number.to_string());
            }
            // Letters of `fix_nated_sdp` and its kind are refused.
            if text.contains('$') {
                let text = self.formatted(argument.at, &text)?;
                return Some(format!("number({text})"));
            }
            return None;
        }
        match &argument.it {
            Expression::Word(word) if word == "max_len" => Some("65535".to_owned()),
            Expression::Word(word) if !self.world.source.constants.contains_key(word) => None,
            Expression::Raw(_) => None,
            _ => {
                let before = self.findings.len();
                let number = self.number(argument);
                if self.findings.len() > before {
                    self.findings.truncate(before);
                    return None;
                }
                Some(number)
            }
        }
    }

    /// A regular expression; `is_search` for one over the whole message, where lines count.
    pub(super) fn pattern(&mut self, at: usize, posix: &str, is_search: bool) -> Option<String> {
        if posix.contains('$') && variable::parse(posix.get(posix.find('$')?..)?, true).is_some() {
            return None;
        }
        let (rust, note) = text::regex(posix, is_search);
        if let Some(note) = note {
            let finding = self.find(Code::Regex, at, format!("`{posix}`: {note}"));
            finding.help = "look whether it means what you want".to_owned();
        }
        let flags = if is_search { "(?im)" } else { "(?i)" };
        let has_letters = rust.chars().any(char::is_alphabetic);
        let has_anchor = rust.contains(['^', '$']);
        let flags = match (has_letters, is_search && has_anchor) {
            (false, false) => "",
            (true, false) => "(?i)",
            _ => flags,
        };
        Some(literal(&format!("{flags}{rust}")))
    }

    /// `/pattern/replacement/flags`
    fn substitution(&mut self, argument: &Expr) -> Option<String> {
        let written = self.plain_text(argument)?;
        let sign = written.chars().next()?;
        let parts = split_unescaped(&written[sign.len_utf8()..], sign);
        let [pattern, replacement, flags @ ..] = parts.as_slice() else { return None };
        let (rust, _) = text::regex(pattern, true);
        let flags = flags.first().map(String::as_str).unwrap_or_default();
        let mut ours: String = flags.chars().filter(|c| matches!(c, 'g' | 'i' | 's')).collect();
        if !ours.contains('i') {
            ours.push('i');
        }
        if replacement.contains('$') {
            return None;
        }
        Some(literal(&format!("{sign}{rust}{sign}{replacement}{sign}{ours}")))
    }

    fn flag(&mut self, argument: &Expr) -> Option<String> {
        match &argument.it {
            Expression::Number(number) => Some(number.to_string()),
            Expression::Word(word) => match self.constant(word) {
                Some(value) => Some(value.text),
                None => self.named_flag(word),
            },
            Expression::Text { raw, .. } => match raw.parse::<i64>() {
                Ok(number) => Some(number.to_string()),
                Err(_) => self.named_flag(&raw.clone()),
            },
            _ => None,
        }
    }

    /// A flag that is only a name gets a number.
    fn named_flag(&mut self, name: &str) -> Option<String> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        if !self.world.flags.contains_key(name) {
            let free =
                (1..32).find(|number| !self.world.flags.values().any(|used| used == number))?;
            self.world.flags.insert(name.to_owned(), free);
        }
        self.constants.insert(name.to_owned());
        Some(name.to_owned())
    }

    fn route_name(&mut self, argument: &Expr) -> Option<String> {
        let name = self.plain_text(argument)?;
        let safe: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
            .collect();
        // "0" takes the route back.
        Some(literal(if safe == "0" && !self.has_armed(&safe) { "" } else { &safe }))
    }

    fn has_armed(&self, name: &str) -> bool {
        ["failure_route", "onreply_route", "branch_route"]
            .iter()
            .any(|kind| self.routes.has(kind, name))
    }

    /// The flags of `save`: numbers, or OpenSIPS's letters.
    fn registrar_flags(&mut self, argument: &Expr) -> Option<String> {
        let written = self.plain_text(argument)?;
        if let Some(number) = text::decimal(written.trim()) {
            return Some(number.to_string());
        }
        let mut sum = 0;
        for letter in written.chars() {
            sum |= match letter {
                'm' => 1,
                'r' => 2,
                'v' | 'f' | 'c' | 'p' | '0'..='9' | '-' | ' ' | ',' => 0,
                _ => return None,
            };
        }
        Some(sum.to_string())
    }

    fn challenge_flags(&mut self, argument: &Expr) -> Option<String> {
        let written = self.plain_text(argument)?;
        match written.as_str() {
            "auth" => Some("1".to_owned()),
            "auth-int" => Some("2".to_owned()),
            "" => Some("0".to_owned()),
            other => other.parse::<i64>().ok().map(|number| number.to_string()),
        }
    }

    /// Whose messages `m_store` and `m_dump` mean: "0", "1" and "2" chose among addresses once.
    fn stored_address(&mut self, argument: &Expr) -> Option<String> {
        let written = self.plain_text(argument).unwrap_or_default();
        match written.as_str() {
            "0" | "" => Some("\"\"".to_owned()),
            "1" => Some("pv(\"$ou\")".to_owned()),
            "2" => Some("to_uri()".to_owned()),
            _ => self.text_argument(argument),
        }
    }

    /// The name of a variable of the message: `"$avp(s:x)/g"`, `"s:x"`.
    fn message_variable(&mut self, argument: &Expr) -> Option<String> {
        let written = match &argument.it {
            Expression::Variable(written) => written.clone(),
            _ => self.plain_text(argument)?,
        };
        let written = written.split('/').next().unwrap_or_default();
        let name = match variable::parse(written, false) {
            Some((found, _)) if matches!(found.name.as_str(), "avp" | "var") => {
                super::value::variable_name(&found.name, &found.argument?)?
            }
            Some(_) => return None,
            None => written.strip_prefix("s:").or_else(|| written.strip_prefix("i:"))?.to_owned(),
        };
        Some(literal(&name))
    }

    /// `append_hf("Name: value\r\n")` as name and value.
    fn header_line(&mut self, argument: &Expr) -> Option<String> {
        match &argument.it {
            Expression::Text { .. } | Expression::Word(_) => {
                let text = self.plain_text(argument)?;
                let (name, value) = text.split_once(':')?;
                if name.contains('$') {
                    return None;
                }
                let value = value.trim();
                let value = match self.world.dialect {
                    Dialect::Ser0 => literal(value),
                    _ => self.formatted(argument.at, value)?,
                };
                Some(format!("{}, {value}", literal(name.trim())))
            }
            Expression::Binary { operator, left, right } if operator == "+" => {
                // The text in front names the header.
                let mut first = left;
                let mut others = vec![right];
                while let Expression::Binary { operator, left, right } = &first.it
                    && operator == "+"
                {
                    others.push(right);
                    first = left;
                }
                let text = self.plain_text(first)?;
                let (name, value) = text.split_once(':')?;
                let mut pieces = vec![literal(value.trim_start())];
                for other in others.into_iter().rev() {
                    let piece = match &other.it {
                        Expression::Text { .. } => {
                            let text = self.plain_text(other)?;
                            literal(text.trim_end_matches(['\r', '\n']))
                        }
                        _ => self.value_argument(other)?.text,
                    };
                    pieces.push(piece);
                }
                if pieces.last().is_some_and(|last| last == "\"\"") {
                    pieces.pop();
                }
                Some(format!("{}, {}", literal(name.trim()), pieces.join(" + ")))
            }
            _ => None,
        }
    }

    /// A line of the log.
    pub(super) fn log(&mut self, call: &Call) -> Option<String> {
        let fixed = LOGS.iter().find(|(name, _)| *name == call.name).map(|(_, level)| *level);
        let (level, argument) = match (fixed, call.arguments.as_slice()) {
            (Some(level), [text]) => (level, text),
            (None, [text]) if call.name == "log" => ("dbg", text),
            (None, [text]) => ("err", text),
            (None, [level, text]) => (self.level(level)?, text),
            (None, [_, level, text]) if call.name != "log" => (self.level(level)?, text),
            _ => return None,
        };
        let text = self.log_text(argument, call.name == "log")?;
        Some(format!("{level}({text})"))
    }

    fn level(&self, argument: &Expr) -> Option<&'static str> {
        let written = match &argument.it {
            Expression::Number(number) => number.to_string(),
            _ => self.plain_text(argument)?,
        };
        if let Ok(number) = written.parse::<i64>() {
            return Some(match (self.world.dialect, number) {
                (Dialect::Kamailio, ..=-1) => "err",
                (Dialect::Kamailio, 0) => "warn",
                (Dialect::Kamailio, 1) => "notice",
                (Dialect::Kamailio, 2) => "info",
                (Dialect::Kamailio, _) => "dbg",
                (_, ..=-1) => "err",
                (_, 0 | 1) => "warn",
                (_, 2) => "notice",
                (_, 3) => "info",
                (_, _) => "dbg",
            });
        }
        LEVELS.iter().find(|(name, _)| *name == written).map(|(_, level)| *level)
    }

    /// Text for the log, where the server fills variables in by itself; `log` fills none in.
    fn log_text(&mut self, argument: &Expr, is_plain: bool) -> Option<String> {
        let Expression::Text { .. } = &argument.it else {
            let value = self.value_argument(argument)?;
            return Some(value.as_text());
        };
        let text = self.plain_text(argument)?;
        let text = text.trim_end_matches(['\n', '\r', ' ']);
        if is_plain {
            return Some(literal(&text.replace('$', "$$")));
        }
        let text = match self.world.dialect {
            Dialect::Ser0 | Dialect::Ser2 => text::percent_to_dollar(text),
            _ => text.to_owned(),
        };
        let made = self.formatted(argument.at, &text);
        match made {
            // The log functions do what `pv` does.
            Some(made) => {
                Some(match made.strip_prefix("pv(").and_then(|rest| rest.strip_suffix(')')) {
                    Some(inner) if is_one_literal(inner) => inner.to_owned(),
                    _ if made.starts_with('"') && is_one_literal(&made) => {
                        literal(&text.replace("$$", "$"))
                    }
                    _ if self.is_call_asked_first(argument.at) => made,
                    _ => as_log_literal(&text).unwrap_or(made),
                })
            }
            None => {
                let finding = self.find(
                    Code::Variable,
                    argument.at,
                    "a variable in this text stays as it is written",
                );
                text.clone_into(&mut finding.original);
                finding.help = "the log shows its name; write what you want to see".to_owned();
                Some(literal(&text))
            }
        }
    }
}

/// `$ru` alone stays a text for the log.
fn as_log_literal(text: &str) -> Option<String> {
    let name = text.strip_prefix('$')?;
    variable::is_in_log(name).then(|| literal(text))
}

fn is_one_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return false;
    };
    let mut escaped = false;
    for letter in inner.chars() {
        match letter {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return false,
            _ => escaped = false,
        }
    }
    true
}

/// Splits at a sign that has no backslash before it.
fn split_unescaped(text: &str, sign: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = parts.last_mut().expect("there is one at least");
        if letter == '\\' {
            match letters.next() {
                Some(next) if next == sign => last.push(next),
                Some(next) => last.extend(['\\', next]),
                None => last.push('\\'),
            }
        } else if letter == sign {
            parts.push(String::new());
        } else {
            last.push(letter);
        }
    }
    parts
}
