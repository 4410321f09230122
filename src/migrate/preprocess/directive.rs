//! `#!define`, `#!ifdef`, `#!subst` and their kind.

use super::super::finding::{Code, Place};
use super::super::text;
use super::{Constant, MAX_GROWTH, Preprocessor, Unreadable};

/// The `#!ifdef`s that are open.
#[derive(Debug, Default)]
pub(super) struct Branches(Vec<Branch>);

#[derive(Debug)]
struct Branch {
    place: Place,
    name: String,
    is_taken: bool,
    /// Whether what is around it is taken.
    is_outer_taken: bool,
}

impl Branches {
    pub(super) fn are_taken(&self) -> bool {
        self.0.last().is_none_or(|branch| branch.is_taken && branch.is_outer_taken)
    }

    pub(super) fn open(&self) -> Vec<Place> {
        self.0.iter().map(|branch| branch.place).collect()
    }
}

/// `#!subst "/pattern/replacement/flags"` and `#!substdef`.
#[derive(Debug)]
pub(super) struct Substitution {
    regex: regex::Regex,
    replacement: String,
    is_global: bool,
}

impl Substitution {
    /// Reads `/pattern/replacement/flags`, with any sign for `/`; gives pattern and replacement as well.
    fn parse(text: &str) -> Option<(Self, String, String)> {
        let separator = text.chars().next()?;
        let parts: Vec<&str> = text[separator.len_utf8()..].split(separator).collect();
        let [pattern, replacement, flags @ ..] = parts.as_slice() else { return None };
        let flags = flags.first().copied().unwrap_or_default();
        let case = if flags.contains('i') { "(?i)" } else { "" };
        let regex = regex::Regex::new(&format!("{case}{}", text::regex(pattern, false).0)).ok()?;
        let escaped = replacement.replace('$', "$$").replace("\\1", "${1}");
        let made = Self { regex, replacement: escaped, is_global: flags.contains('g') };
        Some((made, (*pattern).to_owned(), (*replacement).to_owned()))
    }

    /// Replaces in the last text of the line, which has just been closed; false where it would grow without measure.
    pub(super) fn apply(&self, line: &mut String) -> bool {
        let Some(quote) = line.pop() else { return true };
        let start = line.rfind(quote).map_or(0, |at| at + 1);
        let is_short = (line.len() - start) * self.replacement.len() <= MAX_GROWTH;
        if is_short {
            let body = line.split_off(start);
            let replacement = self.replacement.as_str();
            let new = match self.is_global {
                true => self.regex.replace_all(&body, replacement),
                false => self.regex.replace(&body, replacement),
            };
            line.push_str(&new);
        }
        line.push(quote);
        is_short
    }
}

impl Preprocessor<'_> {
    pub(super) fn directive(&mut self, line: &str, place: Place) -> Result<(), Unreadable> {
        let line = line.trim_start().trim_start_matches(['#', '!']).trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "ifdef" | "ifndef" | "ifexp" => self.branch(word, rest, place),
            "else" => self.otherwise(place),
            "endif" => self.end_branch(place),
            _ if !self.branches.are_taken() => {}
            "include_file" | "import_file" => {
                if let Some((name, is_optional)) = self.inclusion(line) {
                    self.include(&name, is_optional, place)?;
                }
            }
            "define" | "def" | "redefine" | "redef" | "trydefine" | "trydef" | "defexp"
            | "defexps" | "trydefexp" | "defenv" | "defenvs" | "trydefenv" | "trydefenvs" => {
                self.definition(word, rest, place);
            }
            "subst" | "substdef" | "substdefs" => self.substitution(word, rest, place),
            // The first line: #!KAMAILIO and the like.
            _ if word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) => {}
            _ => {
                let message = format!("`#!{word}` is no directive");
                self.find(Code::Parse, place, message, "it is left out");
            }
        }
        Ok(())
    }

    fn branch(&mut self, word: &str, rest: &str, place: Place) {
        let is_outer_taken = self.branches.are_taken();
        let name = rest.split_whitespace().next().unwrap_or_default().to_owned();
        let is_taken = match word {
            "ifdef" => self.is_defined(&name),
            "ifndef" => !self.is_defined(&name),
            _ => self.evaluate(rest, place),
        };
        if is_outer_taken && !is_taken {
            let message = format!("the branch of `#!{word} {name}` is not taken");
            let help = match word {
                "ifdef" => format!("to translate it: --define {name}"),
                _ => format!("to translate it: --undef {name}"),
            };
            self.find(Code::Branch, place, message, &help);
        }
        self.branches.0.push(Branch { place, name, is_taken, is_outer_taken });
    }

    fn otherwise(&mut self, place: Place) {
        let Some(branch) = self.branches.0.last_mut() else {
            let message = "`#!else` without `#!ifdef`".to_owned();
            return self.find(Code::Parse, place, message, "remove it");
        };
        branch.is_taken = !branch.is_taken;
        if !branch.is_taken && branch.is_outer_taken {
            let message = format!("the branch of `#!else`, without {}, is not taken", branch.name);
            self.find(Code::Branch, place, message, "");
        }
    }

    fn end_branch(&mut self, place: Place) {
        if self.branches.0.pop().is_none() {
            let message = "`#!endif` without `#!ifdef`".to_owned();
            self.find(Code::Parse, place, message, "remove it");
        }
    }

    fn is_defined(&self, name: &str) -> bool {
        self.source.constants.contains_key(name) || self.macros.contains_key(name)
    }

    /// `#!ifexp`: names and `NAME == value`, joined by `&&` and `||`.
    fn evaluate(&mut self, expression: &str, place: Place) -> bool {
        if expression.contains(['(', '<', '>', '~']) {
            let message = format!("`{expression}` is too much to evaluate here");
            self.find(Code::Branch, place, message, "check which branch is meant");
            return false;
        }
        let value = |term: &str| match term.trim().split_once("==") {
            Some((name, value)) => {
                let value = value.trim().trim_matches('"');
                match self.source.constants.get(name.trim()) {
                    Some(Constant::Number(number)) => number.to_string() == value,
                    Some(Constant::Text(text)) => text == value,
                    _ => false,
                }
            }
            None => match term.trim().strip_prefix('!') {
                Some(name) => !self.is_defined(name.trim()),
                None => self.is_defined(term.trim()) || term.trim() == "1",
            },
        };
        expression.split("||").any(|any| any.split("&&").all(value))
    }

    fn definition(&mut self, word: &str, rest: &str, place: Place) {
        let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (name, value) = match word.contains("defenv") {
            true => {
                let message = format!("`{rest}` comes from the environment of the old server");
                self.find(Code::Decision, place, message, "give it with --define NAME=value");
                (rest.split('=').next().unwrap_or(rest).trim(), "")
            }
            false => (name, value.trim()),
        };
        let is_kept = word.starts_with("try") || word == "define" || word == "def";
        let is_undefined = self.options.undefines.iter().any(|it| it == name);
        if (is_kept && self.is_defined(name)) || is_undefined {
            return;
        }
        let value = match word == "defexps" && !value.starts_with('"') {
            true => format!("\"{value}\""),
            false => value.to_owned(),
        };
        self.define(name, &value);
    }

    /// A plain value keeps its name in the text; code takes the name's place.
    pub(super) fn define(&mut self, name: &str, value: &str) {
        let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let constant = match (value, unquoted) {
            ("", _) => Some(Constant::Nothing),
            (_, Some(text)) if !text.contains('"') => Some(Constant::Text(text.to_owned())),
            _ => text::number(value).map(Constant::Number),
        };
        match constant {
            Some(constant) => {
                self.macros.remove(name);
                self.source.constants.insert(name.to_owned(), constant);
            }
            None => {
                self.source.constants.remove(name);
                self.macros.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn substitution(&mut self, word: &str, rest: &str, place: Place) {
        let text = rest.trim_matches('"');
        let Some((made, name, value)) = Substitution::parse(text) else {
            let message = format!("`{rest}` is no substitution");
            return self.find(Code::Parse, place, message, "write /pattern/replacement/");
        };
        match word {
            "substdef" => self.define(&name, &value),
            "substdefs" => self.define(&name, &format!("\"{value}\"")),
            _ => {}
        }
        self.substitutions.push(made);
    }
}
