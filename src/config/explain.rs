//! serde's messages in the words of someone who edits a file.

use crate::diagnostic::closest;

/// A message and, where there is one, advice.
pub(super) struct Explained {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// What each of serde's type names means to the reader; the first match wins.
const TYPES: &[(&str, &str)] = &[
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number, not negative"),
    ("usize", "a whole number, not negative"),
    ("i8", "a whole number from -128 to 127"),
    ("i16", "a whole number from -32768 to 32767"),
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("isize", "a whole number"),
    ("f32", "a number"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("boolean", "true or false"),
    ("a string", "a string"),
    ("string", "a string"),
    ("integer", "a whole number"),
    ("floating point", "a number with a fraction"),
    ("a sequence", "an array"),
    ("sequence", "an array"),
    ("a map", "a table"),
    ("map", "a table"),
    ("struct", "a table"),
];

fn plain_type(name: &str) -> &str {
    let known = TYPES.iter().find(|(theirs, _)| {
        name.strip_prefix(theirs).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    });
    known.map_or(name, |(_, ours)| ours)
}

/// Explains an error of serde or of TOML.
pub(super) fn error(message: &str) -> Explained {
    let message = message.trim();
    let after = |start| message.strip_prefix(start);
    if let Some(rest) = after("unknown field ") {
        unknown("key", rest)
    } else if let Some(rest) = after("unknown variant ") {
        unknown("value", rest)
    } else if let Some(rest) = after("missing field ") {
        plain(format!("the key {rest} is missing"))
    } else if let Some(rest) = after("invalid type: ") {
        wrong_type(rest)
    } else if let Some(rest) = after("invalid value: ") {
        wrong_value(rest)
    } else {
        plain(message.to_owned())
    }
}

/// Is this the complaint that one of `keys` is missing?
pub(super) fn is_absence_of(message: &str, keys: &[String]) -> bool {
    message
        .strip_prefix("missing field ")
        .is_some_and(|name| keys.iter().any(|key| name.trim_matches('`') == key))
}

fn plain(message: String) -> Explained {
    Explained { message, help: None }
}

/// `` `lisen`, expected one of `listen`, `domains` ``
fn unknown(what: &str, rest: &str) -> Explained {
    let mut names = rest.split('`').skip(1).step_by(2);
    let name = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let help = match closest(name, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => Some(format!("no {what} is allowed here")),
        None => Some(format!("allowed here: {}", known.join(", "))),
    };
    Explained { message: format!("unknown {what} `{name}`"), help }
}

/// `string "x", expected u16`; what was found is not repeated, because it may be a secret.
fn wrong_type(rest: &str) -> Explained {
    let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "something else"));
    let found = found.split([' ', '`', '"']).next().unwrap_or_default();
    let found = if found == "floating" { "floating point" } else { found };
    let found = match plain_type(found) {
        "true or false" => "a boolean",
        kind => kind,
    };
    plain(format!("expected {}, found {found}", plain_type(expected)))
}

/// ``integer `300`, expected u8``
fn wrong_value(rest: &str) -> Explained {
    let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "something else"));
    let expected = plain_type(expected);
    match found.strip_prefix("integer `") {
        Some(number) => {
            let number = number.trim_end_matches('`');
            plain(format!("{number} is out of range; expected {expected}"))
        }
        None => plain(format!("expected {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_without_the_value() {
        for (serde, ours) in [
            (
                r#"invalid type: string "pw", expected u8"#,
                "expected a whole number from 0 to 255, found a string",
            ),
            (
                "invalid type: integer `12`, expected a string",
                "expected a string, found a whole number",
            ),
            (
                "invalid type: boolean `true`, expected struct Sip",
                "expected a table, found a boolean",
            ),
            ("invalid type: map, expected a sequence", "expected an array, found a table"),
            (
                "invalid type: floating point `1.5`, expected i64",
                "expected a whole number, found a number with a fraction",
            ),
            ("missing field `script`", "the key `script` is missing"),
        ] {
            assert_eq!(error(serde).message, ours);
        }
    }

    #[test]
    fn no_row_is_hidden_by_an_earlier_one() {
        for (row, (name, _)) in TYPES.iter().enumerate() {
            let first = TYPES.iter().position(|(theirs, _)| {
                name.strip_prefix(theirs).is_some_and(|r| r.is_empty() || r.starts_with(' '))
            });
            assert_eq!(first, Some(row), "{name}");
        }
    }

    #[test]
    fn far_names_list_what_is_allowed() {
        let explained = error("unknown variant `xml`, expected `text` or `json`");
        assert_eq!(explained.help.as_deref(), Some("allowed here: text, json"));
    }
}
