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

/// Words of other languages, SER's among them, and what Rhai has in their place.
const FOREIGN: &[(&str, &str)] = &[
    (
        "$",
        "pseudo-variables stand only in the text of a log line; elsewhere call `ruri()` and so on",
    ),
    ("and", "write `&&`"),
    ("elif", "write `else if`"),
    ("elsif", "write `else if`"),
    ("elseif", "write `else if`"),
    ("failure_route", "a route is a function: `fn failure_route_NAME() { … }`"),
    ("branch_route", "a route is a function: `fn branch_route_NAME() { … }`"),
    ("function", "write `fn`"),
    ("not", "write `!`"),
    ("onreply_route", "a route is a function: `fn onreply_route_NAME() { … }`"),
    ("or", "write `||`"),
    ("request_route", "a route is a function: `fn request_route() { … }`"),
    ("route", "a route is a function: `fn request_route() { … }`"),
    ("var", "write `let`"),
];

/// What to say about a syntax error in `text`, and what to advise.
pub(super) fn explain(error: &ParseError, text: &str) -> (String, Option<String>) {
    let (message, help) = plain(error);
    (message, foreign(error, text).map(str::to_owned).or(help))
}

/// Advice when the word at the error, the one before it, or the line's first is another
/// language's.
fn foreign(error: &ParseError, text: &str) -> Option<&'static str> {
    let line = text.lines().nth(error.position().line()?.checked_sub(1)?)?;
    let column = error.position().position()?.checked_sub(1)?;
    let at = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let (before, after) = line.split_at(at);
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let here = after.split(|c| !is_part(c)).next().filter(|word| !word.is_empty());
    let here = here.or(after.get(..1)).unwrap_or_default();
    let previous = before.trim_end().rsplit(|c| !is_part(c)).next().unwrap_or_default();
    let advice = |word: &str| FOREIGN.iter().find(|(theirs, _)| *theirs == word);
    let first = line.trim_start().split(|c| !is_part(c)).next().unwrap_or_default();
    [here, previous, first].into_iter().find_map(advice).map(|(_, advice)| *advice)
}

fn plain(error: &ParseError) -> (String, Option<String>) {
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
        E::BadInput(LexError::UnexpectedInput(found)) => {
            (format!("unexpected `{}`", found.escape_debug()), None)
        }
        E::BadInput(LexError::ImproperSymbol(word, _)) if disabled(word).is_some() => {
            (format!("`{word}` is switched off"), disabled(word).map(str::to_owned))
        }
        E::MissingToken(token, purpose) if token == "{" => {
            (missing(token, purpose), help("write `{ … }` even around a single statement"))
        }
        E::MissingToken(token, purpose) if token == "}" => {
            (missing(token, purpose), help("a `{` above this line is not closed"))
        }
        E::MissingToken(token, _) if token == ";" => (
            "a `;` is missing before this".to_owned(),
            help("every statement but the last of a block ends with `;`"),
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_foreign_word_is_one_of_the_language() {
        for (word, _) in FOREIGN {
            let script = format!("let {word} = 1;");
            let is_name = rhai::Engine::new().compile(&script).is_ok();
            assert!(is_name || matches!(*word, "$" | "var"), "{word}");
        }
    }

    #[test]
    fn habits_of_other_languages_are_answered() {
        for (script, advice) in [
            ("if true and false { }", "write `&&`"),
            ("if true { } elsif false { }", "write `else if`"),
            ("route {\n}", "a route is a function: `fn request_route() { … }`"),
            ("failure_route[MAIL] {\n}", "a route is a function"),
            ("if ($rU == \"x\") { }", "pseudo-variables stand only"),
            ("let a = not true;", "write `!`"),
            ("var a = 1;", "write `let`"),
        ] {
            let error = rhai::Engine::new().compile(script).unwrap_err();
            let (message, help) = explain(&error, script);
            assert!(help.as_ref().is_some_and(|h| h.contains(advice)), "{message} {help:?}");
        }
    }

    #[test]
    fn a_word_that_the_engine_has_switched_off_says_why() {
        let mut engine = rhai::Engine::new();
        engine.disable_symbol("eval");
        let script = "eval(1)";
        let (message, help) = explain(&engine.compile(script).unwrap_err(), script);
        assert_eq!(message, "`eval` is switched off");
        assert_eq!(help.as_deref(), disabled("eval"));
    }
}
