//! Passwords and addresses with passwords: where they may come from, and that nobody sees them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A string that neither `Debug` nor `Display` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The string itself, for the one who must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|secret| Self(secret.into()))
    }
}

/// The fewest bytes of a secret that something is sealed with.
const SEALING: usize = 16;

/// Reads a secret that something is sealed with, which nobody may find by trying.
pub fn sealing_secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    let secret = Secret::deserialize(deserializer)?;
    match secret.expose().len() {
        SEALING.. => Ok(Some(secret)),
        _ => Err(D::Error::custom(format_args!("a secret has at least {SEALING} bytes"))),
    }
}

/// May the value of this key be `{ file = … }` or `{ env = … }`?
fn may_lie_elsewhere(key: &str) -> bool {
    matches!(key, "url" | "password" | "secret")
        || key.ends_with("_password")
        || key.ends_with("_secret")
}

/// Puts the string in the place of every `{ file = "path" }` and `{ env = "NAME" }`, and tells
/// `report` where that is not possible.
pub(super) fn fill(
    table: &mut DeTable<'_>,
    base_dir: &Path,
    report: &mut dyn FnMut(String, Range<usize>),
) {
    for (key, value) in table.iter_mut() {
        let span = value.span();
        match value.get_mut() {
            DeValue::Table(source) if may_lie_elsewhere(key.get_ref()) => {
                match fetch(source, base_dir) {
                    Ok(secret) => *value.get_mut() = DeValue::String(Cow::Owned(secret)),
                    Err(reason) => report(reason, span),
                }
            }
            DeValue::Table(inner) => fill(inner, base_dir, report),
            _ => {}
        }
    }
}

fn fetch(source: &DeTable<'_>, base_dir: &Path) -> Result<String, String> {
    let mut entries = source.iter().map(|(key, value)| (key.get_ref().as_ref(), value));
    match (entries.next(), entries.next()) {
        (Some(("file", path)), None) => from_file(path, base_dir),
        (Some(("env", name)), None) => from_environment(name, base_dir),
        _ => Err("expected a string, { file = \"path\" } or { env = \"NAME\" }".to_owned()),
    }
}

fn from_file(path: &Spanned<DeValue<'_>>, base_dir: &Path) -> Result<String, String> {
    let path = path.get_ref().as_str().ok_or("`file` must be a string with a path")?;
    let path = base_dir.join(path);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read the secret in {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The environment goes before the file of variables beside the configuration.
const ENVIRONMENT_FILE: &str = "sipjab.env";

fn from_environment(name: &Spanned<DeValue<'_>>, base_dir: &Path) -> Result<String, String> {
    let name = name.get_ref().as_str().ok_or("`env` must be a string with a variable's name")?;
    std::env::var(name).or_else(|error| match error {
        std::env::VarError::NotPresent => from_environment_file(name, base_dir).ok_or_else(|| {
            format!("neither the environment nor {ENVIRONMENT_FILE} has a variable {name}")
        }),
        std::env::VarError::NotUnicode(_) => Err(format!("the variable {name} is not UTF-8")),
    })
}

/// The value in a line `NAME=value` of the file of variables.
fn from_environment_file(name: &str, base_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(base_dir.join(ENVIRONMENT_FILE)).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.to_owned())
}

/// A line of a configuration as it may be shown: nothing stands behind a key that looks like a
/// password, even misspelt, and no password in an address.
pub(super) fn hide(line: &str) -> String {
    const TELLTALE: [&str; 5] = ["pas", "pwd", "secret", "token", "url"];
    let lower = line.to_ascii_lowercase();
    let shown = match lower.find('=') {
        Some(at) if TELLTALE.iter().any(|word| lower[..at].contains(word)) => Some(at),
        _ => lower.match_indices('=').map(|(at, _)| at).find(|at| {
            let key = lower[..*at].rsplit([',', '{']).next().unwrap_or_default();
            TELLTALE.iter().any(|word| key.contains(word))
        }),
    };
    match shown {
        Some(at) => format!("{}= …", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), "Secret(…) …");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_file_beside_the_configuration_holds_variables() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sipjab.env"), "A_B=1\nA=x=y\n").unwrap();
        assert_eq!(from_environment_file("A", folder.path()).as_deref(), Some("x=y"));
        assert_eq!(from_environment_file("B", folder.path()), None);
    }

    #[test]
    fn lines_with_passwords_end_at_the_equals_sign() {
        for (line, shown) in [
            ("xmpp_pasword = \"x\"", "xmpp_pasword = …"),
            ("a = { b = 1, db_secret = \"x\" }", "a = { b = 1, db_secret = …"),
            ("url = 'mysql://u:p@h/d'", "url = …"),
            ("listen = [\"udp:[::1]:5060\"]", "listen = [\"udp:[::1]:5060\"]"),
            ("pas", "pas"),
        ] {
            assert_eq!(hide(line), shown);
        }
    }
}
