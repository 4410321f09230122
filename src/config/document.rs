//! One TOML file with the position of everything in it, read into any type with several findings at once.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::{explain, secret};
use crate::diagnostic::{Diagnostic, Severity};

/// More findings than this in one table help nobody.
const MAX_FINDINGS: usize = 50;

/// The text of a configuration, its name in messages, and the folder its relative paths begin in.
pub(super) struct Document {
    name: String,
    text: String,
    base_dir: PathBuf,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Document {
    pub(super) fn new(name: &str, text: &str, base_dir: &Path) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), base_dir: base_dir.to_owned() }
    }

    /// The root table with secrets filled in from files and the environment.
    pub(super) fn table(&self) -> Result<Spanned<DeTable<'_>>, Vec<Diagnostic>> {
        let (mut root, errors) = DeTable::parse_recoverable(&self.text);
        if !errors.is_empty() {
            let mut findings: Vec<_> = errors.iter().map(|error| self.syntax(error)).collect();
            findings.sort_by_key(|finding| (finding.line, finding.column));
            return Err(findings);
        }
        let mut findings = Vec::new();
        secret::fill(root.get_mut(), &self.base_dir, &mut |message, span| {
            findings.push(self.finding(message, span));
        });
        if findings.is_empty() { Ok(root) } else { Err(findings) }
    }

    /// An error at a place in the file, with secrets in the line hidden.
    pub(super) fn finding(&self, message: impl Into<String>, span: Range<usize>) -> Diagnostic {
        let mut finding =
            Diagnostic::about(Severity::Error, &*self.name, message).at_span(&self.text, span);
        let line = self.text.lines().nth(finding.line - 1).unwrap_or_default();
        let shown = secret::hide(line);
        if shown != line {
            // The carets would tell the secret's length.
            finding.width = 1;
            finding = finding.with_line(&shown);
        }
        finding
    }

    fn syntax(&self, error: &toml::de::Error) -> Diagnostic {
        let end = self.text.len();
        self.finding(error.message(), error.span().unwrap_or(end..end))
    }

    /// The value of type `T` in `table`.
    ///
    /// serde stops at the first error, so what is wrong is taken out and the rest is read again.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        mut table: Spanned<DeTable<'_>>,
    ) -> Result<T, Vec<Diagnostic>> {
        let mut findings = Vec::new();
        let mut removed = Vec::new();
        loop {
            let error = match T::deserialize(Deserializer::from(table.clone())) {
                Ok(value) if findings.is_empty() => return Ok(value),
                Ok(_) => return Err(findings),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(table.span());
            let finding = self.explain(error.message(), span.clone());
            let is_news = !explain::is_absence_of(error.message(), &removed);
            if is_news && !findings.contains(&finding) {
                findings.push(finding);
            }
            match take_out(table.get_mut(), &span) {
                Some(key) if findings.len() < MAX_FINDINGS => removed.push(key),
                _ => return Err(findings),
            }
        }
    }

    fn explain(&self, error: &str, span: Range<usize>) -> Diagnostic {
        let explained = explain::error(error);
        let is_root = span == (0..0);
        let finding = match is_root {
            true => Diagnostic::about(Severity::Error, &*self.name, explained.message),
            false => self.finding(explained.message, span),
        };
        match explained.help {
            Some(help) => finding.with_help(help),
            None => finding,
        }
    }
}

/// Removes the entry or array element that an error points at and returns the entry's key.
///
/// An error inside something that cannot be taken apart takes the whole of it out.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let exact = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some(key) = exact.map(|(key, _)| key.get_ref().to_string()) {
        table.remove(key.as_str());
        return Some(key);
    }
    for (key, value) in table.iter_mut() {
        if let Some(inner) = take_out_of_value(value.get_mut(), span) {
            return Some(inner.unwrap_or_else(|| key.get_ref().to_string()));
        }
    }
    let around = table.iter().find(|(_, value)| covers(&value.span(), span));
    let key = around.map(|(key, _)| key.get_ref().to_string())?;
    table.remove(key.as_str());
    Some(key)
}

/// `Some(None)` when an element without a key was removed.
fn take_out_of_value(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<Option<String>> {
    match value {
        DeValue::Table(table) => take_out(table, span).map(Some),
        // An array with nothing left goes as a whole, or its emptiness would be a finding.
        DeValue::Array(elements) if elements.len() > 1 => {
            let hit = elements.iter().position(|element| element.span() == *span)?;
            let rest = elements.iter().enumerate().filter(|(at, _)| *at != hit);
            *elements = rest.map(|(_, element)| element.clone()).collect();
            Some(None)
        }
        _ => None,
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
