//! What became of what: `MIGRATION.md`, and the same for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::config::Settings;
use super::dialect::Dialect;
use super::finding::{Code, Finding, Group};
use super::lower::Counts;
use super::preprocess::Source;
use crate::diagnostic::{Diagnostic, Severity};

/// What became of a configuration.
#[derive(Clone, Debug)]
pub struct Report {
    /// The dialect that it was read in.
    pub dialect: Dialect,
    /// What there is to say, by place.
    pub findings: Vec<Finding>,
    /// Call sites in routes.
    pub counts: Counts,
    /// Settings and parameters, all and those that were carried over or need not be.
    pub settings: (usize, usize),
    files: Vec<(String, String)>,
}

impl Report {
    pub(super) fn new(
        source: &Source,
        dialect: Dialect,
        mut findings: Vec<Finding>,
        counts: Counts,
        settings: &Settings<'_>,
    ) -> Self {
        if !settings.has_domain() {
            let place = source.place(0);
            let finding = Finding::new(
                Code::Decision,
                place,
                "no name of ours is known: `[sip] domains` is empty",
            );
            findings.push(finding.with_help("write the domains that you serve into sipjab.toml"));
        }
        findings.sort();
        findings.dedup();
        let settings = (settings.total, settings.translated);
        Self { dialect, findings, counts, settings, files: source.files.clone() }
    }

    /// Whether nothing needs attention.
    pub fn is_complete(&self) -> bool {
        self.attention().next().is_none()
    }

    /// The share of call sites that were carried over, in percent.
    pub fn share(&self) -> f64 {
        share(self.counts.translated, self.counts.calls)
    }

    fn file(&self, finding: &Finding) -> &str {
        self.files.get(finding.place.file).map_or("", |(name, _)| name.as_str())
    }

    /// The findings that need attention as a compiler shows them: line and caret.
    ///
    /// Each is made when it is asked for: it looks for its line from the beginning of the file.
    pub fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> {
        self.attention().map(|finding| self.diagnostic(finding))
    }

    /// The findings that need attention.
    pub fn attention(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|it| it.code.group() == Group::Attention)
    }

    fn diagnostic(&self, finding: &Finding) -> Diagnostic {
        let severity =
            if finding.code == Code::Parse { Severity::Error } else { Severity::Warning };
        let text = self.files.get(finding.place.file).map_or("", |(_, text)| text.as_str());
        let place = finding.place;
        let width = finding.original.chars().count().max(1);
        let shown = Diagnostic::about(severity, self.file(finding), finding.message.clone());
        let shown = shown.at(text, place.line, place.column, width);
        if finding.help.is_empty() { shown } else { shown.with_help(finding.help.clone()) }
    }

    /// `MIGRATION.md`
    pub fn markdown(&self) -> String {
        let name = self.files.first().map_or("", |(name, _)| super::base_name(name));
        let counts = self.counts;
        let mut out = format!(
            "# From {name}\n\nRead as {}.\n\n| | in all | carried over | |\n|---|---|---|---|\n",
            self.dialect
        );
        let row = |out: &mut String, what: &str, all: usize, done: usize| {
            let _ = writeln!(out, "| {what} | {all} | {done} | {:.0} % |", share(done, all));
        };
        row(&mut out, "calls of functions in routes", counts.calls, counts.translated);
        row(&mut out, "settings and parameters", self.settings.0, self.settings.1);
        if counts.not_yet > 0 {
            let _ = write!(
                out,
                "\n{} calls are of functions that a later version has.\n",
                counts.not_yet
            );
        }
        self.section(
            &mut out,
            Group::Attention,
            "What needs you",
            "In the script it is `unsupported(…)`, which logs once and is false.",
        );
        self.section(&mut out, Group::Note, "What is worth a look", "It is carried over.");
        self.section(&mut out, Group::Dropped, "What was left out", "Nothing is lost with it.");
        out.push_str("\n## The files\n\n- `route.rhai`: the routes. `sipjab check` finds slips.\n- `sipjab.toml`: the settings.\n- `sipjab.env`: passwords, if there are any. Keep it from other users.\n");
        out
    }

    fn section(&self, out: &mut String, group: Group, title: &str, explanation: &str) {
        let found: Vec<&Finding> =
            self.findings.iter().filter(|it| it.code.group() == group).collect();
        if found.is_empty() {
            return;
        }
        let _ = write!(out, "\n## {title}\n\n{explanation}\n\n");
        for finding in found {
            let place = finding.place;
            let file = super::base_name(self.file(finding));
            let _ = write!(
                out,
                "- `{file}:{}:{}` **{}** {}",
                place.line,
                place.column,
                finding.code.name(),
                finding.message
            );
            if !finding.original.is_empty() {
                let _ = write!(out, ": `` {} ``", finding.original.replace('`', "'"));
            }
            if !finding.help.is_empty() {
                let _ = write!(out, " → {}", finding.help);
            }
            out.push('\n');
        }
    }

    /// The report as one JSON object.
    pub fn json(&self) -> String {
        let counts = self.counts;
        let mut out = format!(
            "{{\"dialect\":{},\"calls\":{},\"translated\":{},\"not_yet\":{},\"share\":{:.1},\"settings\":{},\"settings_translated\":{},\"complete\":{},\"findings\":[",
            quoted(self.dialect.name()),
            counts.calls,
            counts.translated,
            counts.not_yet,
            self.share(),
            self.settings.0,
            self.settings.1,
            self.is_complete(),
        );
        for (index, finding) in self.findings.iter().enumerate() {
            let group = match finding.code.group() {
                Group::Attention => "attention",
                Group::Dropped => "dropped",
                Group::Note => "note",
            };
            let _ = write!(
                out,
                "{}{{\"file\":{},\"line\":{},\"column\":{},\"code\":{},\"group\":{},\"message\":{},\"original\":{},\"help\":{}}}",
                if index == 0 { "" } else { "," },
                quoted(self.file(finding)),
                finding.place.line,
                finding.place.column,
                quoted(finding.code.name()),
                quoted(group),
                quoted(&finding.message),
                quoted(&finding.original),
                quoted(&finding.help),
            );
        }
        out.push_str("]}\n");
        out
    }

    /// How often each kind of finding occurs.
    pub fn by_code(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.code.name()).or_insert(0) += 1;
        }
        counts
    }
}

fn share(part: usize, all: usize) -> f64 {
    match all {
        0 => 100.0,
        _ => part as f64 * 100.0 / all as f64,
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
