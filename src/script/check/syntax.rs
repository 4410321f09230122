//! Rhai's syntax errors in the words of someone who writes routes.

use rhai::{LexError, ParseError, ParseErrorType as E};

/// Words that the language or the host has and that no route may use.
pub(super) const DISABLED: &[(&str, &str)] = &[
    ("eval", "a script is checked before it runs, and text that it makes itself could not be"),
    ("sleep", "a sleeping route would hold its worker and every message behind it"),
];

/// Why a word is switched off, if it is.
pub(super) fn disabled(name: &str) -> Option<&'static str> {
    DISABLED.iter().find(|(word, _)| *word == name).map(|(_, reason)| *reason)
}

/// What to say about a syntax error, and what to advise.
pub(super) fn explain(error: &ParseError) -> (String, Option<String>) {
    let help = |text: &str| Some(text.to_owned());
    match error.err_type() {
        E::UnexpectedEOF => (
            "the script ends too early".to_owned(),
            help("a `}`, `)` or `\"` is missing somewhere above"),
        ),
        E::BadInput(LexError::UnterminatedString) => {
            ("the text is not closed".to_owned(), help("end it with `\"` on the same line"))
        }
        E::BadInput(LexError::MalformedChar(text)) => (
            format!("'{text}' is no single character"),
            help("text stands in double quotes; single quotes hold one character"),
        ),
        E::BadInput(LexError::UnexpectedInput(found)) => (format!("unexpected `{found}`"), None),
        E::MissingToken(token, purpose) if token == "{" => {
            (missing(token, purpose), help("write `{ … }` even around a single statement"))
        }
        E::MissingToken(token, purpose) if token == "}" => {
            (missing(token, purpose), help("a `{` above this line is not closed"))
        }
        E::MissingToken(token, purpose) => (missing(token, purpose), None),
        E::Reserved(word) => match disabled(word) {
            Some(reason) => (format!("`{word}` is switched off"), help(reason)),
            None => (format!("`{word}` is a reserved word"), help("choose another name")),
        },
        E::WrongFnDefinition => (
            "a function stands inside another block".to_owned(),
            help("close the function above it; functions stand at the top level"),
        ),
        E::FnDuplicatedDefinition(name, count) => {
            (format!("there is already a function `{name}` with {count} parameters"), None)
        }
        E::AssignmentToConstant(name) => {
            (format!("`{name}` is a constant and cannot be changed"), help("define it with `let`"))
        }
        E::LoopBreak => ("`break` stands outside of a loop".to_owned(), None),
        E::ExprTooDeep => (
            "the expression is nested too deeply".to_owned(),
            help("give its parts names with `let`"),
        ),
        other => (lower_first(&other.to_string()), None),
    }
}

fn missing(token: &str, purpose: &str) -> String {
    format!("expected `{token}` {purpose}").trim_end().to_owned()
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
