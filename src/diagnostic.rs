//! What is wrong with a file that a person wrote, and where: configuration, scripts, old configurations.

use std::fmt::{self, Write as _};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file works, but hardly as its author meant.
    Warning,
    /// The file cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Longer lines are shown in part, around the carets.
const MAX_LINE: usize = 160;

/// One finding in a text file.
///
/// `Display` renders it without colour: `file:line:column`, the message, the line with carets,
/// the help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the file can be used in spite of it.
    pub severity: Severity,
    /// Name of the file as the user wrote it.
    pub file: String,
    /// Line, counted from 1; 0 when the finding concerns the file as a whole.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// How many characters the carets cover.
    pub width: usize,
    /// The line itself, without its end; of a very long one the part around the column.
    pub source: String,
    /// The letters of the line that stand before that part.
    skipped: usize,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding about the file as a whole.
    pub fn about(severity: Severity, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.into(),
            line: 0,
            column: 0,
            width: 0,
            source: String::new(),
            skipped: 0,
            message: message.into(),
            help: None,
        }
    }

    /// The same finding at a line and a column of `text`, underlining `width` characters.
    pub fn at(mut self, text: &str, line: usize, column: usize, width: usize) -> Self {
        self.line = line;
        self.column = column.max(1);
        let whole = line.checked_sub(1).and_then(|above| text.lines().nth(above));
        let whole = whole.unwrap_or_default();
        self.width = whole.chars().skip(self.column - 1).take(width).count().max(1);
        self.with_line(whole)
    }

    /// The same finding with other words in place of its line.
    pub fn with_line(mut self, line: &str) -> Self {
        let is_long = line.chars().nth(MAX_LINE).is_some();
        self.skipped = if is_long { self.column.saturating_sub(MAX_LINE / 2) } else { 0 };
        self.source = line.chars().skip(self.skipped).take(MAX_LINE).collect();
        self
    }

    /// The same finding at a byte range of `text`.
    pub fn at_span(self, text: &str, span: std::ops::Range<usize>) -> Self {
        let (line, column) = position(text, span.start);
        let covered = text.get(span).unwrap_or_default();
        let width = covered.lines().next().unwrap_or_default().chars().count();
        self.at(text, line, column, width)
    }

    /// The same finding with advice.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same finding with a "did you mean" when one of `names` is close to `name`.
    pub fn with_suggestion<'a>(self, name: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(name, names) {
            Some(near) => self.with_help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The finding as text of several lines, with terminal colours when asked.
    pub fn render(&self, colour: bool) -> String {
        let paint = if colour { Paint::for_severity(self.severity) } else { Paint::default() };
        let mut out = self.headline(&paint);
        if self.line > 0 {
            self.excerpt(&mut out, &paint);
        }
        if let Some(help) = &self.help {
            let _ = write!(out, "\n      = {}help{}: {help}", paint.bold, paint.off);
        }
        out
    }

    fn headline(&self, paint: &Paint) -> String {
        let Paint { bold, accent, off } = paint;
        let place = match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}:{}", self.file, self.column),
        };
        format!("{bold}{place}{off}: {accent}{}{off}: {}", self.severity, self.message)
    }

    fn excerpt(&self, out: &mut String, paint: &Paint) {
        let is_shown = |c: &char| *c == '\t' || !c.is_control();
        let shown: String = self.source.chars().filter(is_shown).collect();
        let before = (self.column - 1).saturating_sub(self.skipped);
        let before = self.source.chars().take(before).filter(is_shown);
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(self.width.min(MAX_LINE / 2));
        let _ = write!(out, "\n{:5} | {shown}\n      | ", self.line);
        let _ = write!(out, "{indent}{}{carets}{}", paint.accent, paint.off);
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Escape sequences around the parts of a finding; empty without colour.
#[derive(Default)]
struct Paint {
    bold: &'static str,
    accent: &'static str,
    off: &'static str,
}

impl Paint {
    fn for_severity(severity: Severity) -> Self {
        let accent = match severity {
            Severity::Warning => "\x1b[1;33m",
            Severity::Error => "\x1b[1;31m",
        };
        Self { bold: "\x1b[1m", accent, off: "\x1b[0m" }
    }
}

/// Line and column, both from 1 and in characters, of a byte offset.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The name that a misspelt one most likely stands for.
///
/// At most a third of the letters may differ, a swap of neighbours counting once.
pub fn closest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let allowed = (length / 3).max(1);
    names
        .into_iter()
        // The distance is at least that of the lengths, and costs much with a name of a megabyte.
        .filter(|it| *it != name && it.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_place_line_caret_and_help() {
        let text = "script = 'a'\n\tlisen = []\n";
        let finding = Diagnostic::about(Severity::Error, "sipjab.toml", "unknown key `lisen`")
            .at_span(text, 14..19)
            .with_suggestion("lisen", ["domains", "listen"]);
        assert_eq!(
            finding.to_string(),
            "sipjab.toml:2:2: error: unknown key `lisen`\n    \
             2 | \tlisen = []\n      | \t^^^^^\n      = help: did you mean `listen`?"
        );
    }

    #[test]
    fn a_finding_about_the_whole_file_shows_no_line() {
        let finding = Diagnostic::about(Severity::Warning, "route.rhai", "nothing here");
        assert_eq!(finding.to_string(), "route.rhai: warning: nothing here");
    }

    #[test]
    fn colour_only_adds_escapes() {
        let finding = Diagnostic::about(Severity::Error, "f", "m").at("abc", 1, 2, 9);
        let plain = finding.render(true).replace("\x1b[1;31m", "").replace("\x1b[1m", "");
        assert_eq!(plain.replace("\x1b[0m", ""), finding.render(false));
    }

    #[test]
    fn control_characters_of_a_line_do_not_reach_the_terminal() {
        let finding = Diagnostic::about(Severity::Error, "f", "m").at("a\x1b[2Jb", 1, 1, 1);
        assert!(!finding.to_string().contains('\x1b'));
    }

    #[test]
    fn of_a_very_long_line_the_part_around_the_carets_is_shown() {
        let line = format!("{}here{}", "a".repeat(5000), "b".repeat(5000));
        let shown = Diagnostic::about(Severity::Error, "f", "m").at(&line, 1, 5001, 4).to_string();
        let (excerpt, carets) = shown.rsplit_once('\n').unwrap();
        assert_eq!(carets.find('^'), excerpt.lines().last().unwrap().find("here"));
        assert!(shown.len() < 500);
    }

    #[test]
    fn columns_count_characters_and_offsets_may_lie() {
        assert_eq!(position("äö\nüß", 7), (2, 2));
        assert_eq!(position("ä", 1), (1, 1));
        assert_eq!(position("ab", 99), (1, 3));
        assert_eq!(Diagnostic::about(Severity::Error, "f", "m").at("", 9, 9, 3).source, "");
    }

    #[test]
    fn the_closest_name_wins_and_far_ones_are_silent() {
        assert_eq!(closest("sl_send_repyl", ["sl_send_reply", "t_reply"]), Some("sl_send_reply"));
        assert_eq!(closest("xyz", ["sl_send_reply", "t_reply"]), None);
        assert_eq!(closest("t1", ["t2"]), Some("t2"));
    }
}
