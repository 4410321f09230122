//! Before the grammar: comments, `#!define` and its kind, included files. Every line keeps the place that it came from.

mod directive;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::dialect::Dialect;
use super::finding::{Code, Finding, Place};
use super::{MAX_SIZE, Options};
use directive::{Branches, Substitution};

/// Stands in the text before what begins a top-level item in column 0.
pub(super) const MARK: char = '\u{1}';
/// Files that include each other may lie this deep.
const MAX_INCLUDES: usize = 16;
/// So many files may be included in all.
const MAX_FILES: usize = 1000;
/// Brackets may be open at once.
const MAX_NESTING: usize = 80;
/// More letters than this stand behind no name of `#!define`.
const MAX_EXPANSION: usize = 10_000;
/// All that is defined and substituted may make a file this much longer.
const MAX_GROWTH: usize = 1 << 20;
/// Letters are counted in blocks of so many bytes.
const BLOCK: usize = 1024;
/// What begins a top-level item.
const TOP_LEVEL: &[&str] = &[
    "route",
    "request_route",
    "failure_route",
    "onreply_route",
    "reply_route",
    "branch_route",
    "onsend_route",
    "local_route",
    "error_route",
    "startup_route",
    "timer_route",
    "event_route",
    "loadmodule",
    "modparam",
];

/// A comment with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    /// Its byte in the text.
    pub(super) at: usize,
    /// One text per line, without `#`, `//` or the asterisks of a block.
    pub(super) lines: Vec<String>,
    /// Stands behind something else on its line.
    pub(super) is_trailing: bool,
}

/// The value of a name that stays in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    Number(i64),
    Text(String),
    /// Defined without a value.
    Nothing,
}

/// A configuration that is ready for the grammar.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) text: String,
    /// Every file by its number: name and text.
    pub(super) files: Vec<(String, String)>,
    /// File and line of each line of `text`.
    lines: Vec<(usize, usize)>,
    starts: Vec<usize>,
    pub(super) comments: Vec<Comment>,
    pub(super) constants: BTreeMap<String, Constant>,
    pub(super) findings: Vec<Finding>,
    /// The letters before every `BLOCK`th byte of the finished text.
    counts: OnceCell<Vec<usize>>,
}

impl Source {
    /// The place of a byte of `text`.
    pub(super) fn place(&self, at: usize) -> Place {
        let index = self.starts.partition_point(|start| *start <= at).saturating_sub(1);
        let (file, line) = self.lines.get(index).copied().unwrap_or((0, 1));
        let start = self.starts.get(index).copied().unwrap_or(0);
        let column = self.letters_before(at).saturating_sub(self.letters_before(start)) + 1;
        Place { file, line, column }
    }

    /// Counts the letters before a byte of the finished text; a line may be as long as the file.
    fn letters_before(&self, at: usize) -> usize {
        let text = self.text.as_bytes();
        let counts = self.counts.get_or_init(|| {
            let mut counts = vec![0];
            for block in text.chunks(BLOCK) {
                counts.push(counts.last().unwrap_or(&0) + letters(block));
            }
            counts
        });
        let at = at.min(text.len());
        let block = at / BLOCK;
        counts[block] + letters(&text[block * BLOCK..at])
    }

    fn push_line(&mut self, line: &str, place: (usize, usize)) {
        self.starts.push(self.text.len());
        self.lines.push(place);
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// The letters that begin in some bytes of UTF-8, without marks.
fn letters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80 && **byte != MARK as u8).count()
}

/// What the scanner is inside of at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    Text(char),
    Comment(usize),
}

/// Why nothing can be read at all.
pub(super) type Unreadable = String;

/// Reads the file at `path` with everything that it includes.
pub(super) fn read(
    path: &Path,
    options: &Options,
    dialect: Option<Dialect>,
) -> Result<(Source, Dialect), Unreadable> {
    let text = read_file(path)?;
    read_text(&path.display().to_string(), text, path, options, dialect)
}

/// The same for a text that has been read already.
pub(super) fn read_text(
    name: &str,
    text: String,
    path: &Path,
    options: &Options,
    dialect: Option<Dialect>,
) -> Result<(Source, Dialect), Unreadable> {
    let dialect = dialect.unwrap_or_else(|| Dialect::detect(&text));
    let run = |are_texts_short| {
        let mut preprocessor = Preprocessor::new(options, dialect, are_texts_short);
        preprocessor.file(name, &text, path)?;
        preprocessor.finish()
    };
    let (source, is_open) = run(false)?;
    // A text that never ends has swallowed what follows: read again, with texts that end with their line.
    let source = if is_open { run(true)?.0 } else { source };
    Ok((source, dialect))
}

/// The text of a file; bytes that are not UTF-8 are Latin-1.
fn read_file(path: &Path) -> Result<String, Unreadable> {
    let about = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let size = fs::metadata(path).map_err(|error| about(&error))?;
    if size.is_dir() {
        return Err(about(&"it is a folder"));
    }
    if size.len() > MAX_SIZE as u64 {
        return Err(about(&"it is longer than 4 MB"));
    }
    let bytes = fs::read(path).map_err(|error| about(&error))?;
    decode(bytes).map_err(|reason| about(&reason))
}

fn decode(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.iter().any(|byte| *byte < 9 || (14..27).contains(byte) && *byte != 0x1a) {
        return Err("it is no text");
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|byte| char::from(*byte)).collect()))
}

struct Preprocessor<'o> {
    source: Source,
    dialect: Dialect,
    options: &'o Options,
    inside: Inside,
    opened: Place,
    /// Code by the name that stands for it.
    macros: BTreeMap<String, String>,
    substitutions: Vec<Substitution>,
    branches: Branches,
    stack: Vec<PathBuf>,
    nesting: usize,
    are_texts_short: bool,
    /// The length of the files so far.
    read: usize,
}

impl<'o> Preprocessor<'o> {
    fn new(options: &'o Options, dialect: Dialect, are_texts_short: bool) -> Self {
        let mut new = Self {
            source: Source::default(),
            dialect,
            options,
            inside: Inside::Nothing,
            opened: Place::default(),
            macros: BTreeMap::new(),
            substitutions: Vec::new(),
            branches: Branches::default(),
            stack: Vec::new(),
            nesting: 0,
            are_texts_short,
            read: 0,
        };
        for define in &options.defines {
            let (name, value) = define.split_once('=').unwrap_or((define, ""));
            new.define(name.trim(), value.trim());
        }
        new
    }

    fn find(&mut self, code: Code, place: Place, message: String, help: &str) {
        self.source.findings.push(Finding::new(code, place, message).with_help(help));
    }

    fn finish(mut self) -> Result<(Source, bool), Unreadable> {
        let is_open = matches!(self.inside, Inside::Text(_)) && !self.are_texts_short;
        if let Inside::Comment(_) = self.inside {
            let message = "this comment is not closed".to_owned();
            self.find(Code::Parse, self.opened, message, "end it with `*/`");
        }
        for place in self.branches.open() {
            let message = "this `#!ifdef` has no `#!endif`".to_owned();
            self.find(Code::Parse, place, message, "add the missing `#!endif`");
        }
        Ok((self.source, is_open))
    }

    fn file(&mut self, name: &str, text: &str, path: &Path) -> Result<(), Unreadable> {
        let number = self.source.files.len();
        self.read += text.len();
        self.source.files.push((name.to_owned(), text.to_owned()));
        self.stack.push(path.to_owned());
        let mut lines = text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let place = Place { file: number, line: index + 1, column: 1 };
            self.check_length(0, place)?;
            let mut whole = line.to_owned();
            if self.is_directive(line) {
                let mut blank = 0;
                while let Some(begin) = whole.strip_suffix('\\') {
                    let begin = begin.to_owned();
                    let Some((_, next)) = lines.next() else { break };
                    blank += 1;
                    whole = format!("{begin} {next}");
                }
                self.directive(&whole, place)?;
                for extra in 0..=blank {
                    self.source.push_line("", (number, index + 1 + extra));
                }
            } else if !self.branches.are_taken() && self.inside == Inside::Nothing {
                self.source.push_line("", (number, index + 1));
            } else if let Some((include, is_optional)) = self.inclusion(line) {
                self.include(&include, is_optional, place)?;
            } else {
                self.line(&whole, place)?;
            }
        }
        self.stack.pop();
        Ok(())
    }

    /// Files that include each other, and what stands for something longer, may grow without end.
    fn check_length(&self, more: usize, place: Place) -> Result<(), Unreadable> {
        let length = self.source.text.len() + more;
        let reason = match length {
            _ if self.read > 2 * MAX_SIZE => "with what it includes, it is longer than 8 MB",
            _ if length > self.read + MAX_GROWTH => {
                "what it defines makes it more than 1 MB longer"
            }
            _ => return Ok(()),
        };
        Err(format!("{}:{}: {reason}", self.source.files[place.file].0, place.line))
    }

    fn is_directive(&self, line: &str) -> bool {
        let line = line.trim_start();
        self.inside == Inside::Nothing
            && self.dialect.has_directives()
            && (line.starts_with("#!") || line.starts_with("!!"))
    }

    /// The file that a line includes, and whether it may be missing.
    fn inclusion(&self, line: &str) -> Option<(String, bool)> {
        if self.inside != Inside::Nothing {
            return None;
        }
        let line = line.trim().trim_start_matches("#!");
        let optional = line.strip_prefix("import_file");
        let rest = optional.or_else(|| line.strip_prefix("include_file"))?;
        let name = rest.trim().trim_start_matches(['"', '\'', '(', ' ']);
        let (name, _) = name.split_once(['"', '\''])?;
        Some((name.to_owned(), optional.is_some()))
    }

    fn include(&mut self, name: &str, may_miss: bool, place: Place) -> Result<(), Unreadable> {
        if self.source.files.len() > MAX_FILES {
            return Err(format!("{name}: more than {MAX_FILES} files are included"));
        }
        let folder = self.stack.last().and_then(|file| file.parent()).unwrap_or(Path::new(""));
        let path = folder.join(name);
        let resolved = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let is_open =
            self.stack.iter().any(|open| fs::canonicalize(open).is_ok_and(|open| open == resolved));
        let advice = "the rest is translated without it";
        if is_open || self.stack.len() >= MAX_INCLUDES {
            self.find(Code::Include, place, format!("`{name}` includes itself"), advice);
        } else {
            match read_file(&path) {
                Ok(text) => {
                    self.file(&path.display().to_string(), &text, &path)?;
                }
                Err(_) if may_miss => {
                    let message = format!("`{name}` is not there, which is allowed");
                    self.find(Code::Dropped, place, message, "nothing");
                }
                Err(reason) => {
                    self.find(Code::Include, place, format!("cannot include {reason}"), advice);
                }
            }
        }
        self.source.push_line("", (place.file, place.line));
        Ok(())
    }

    /// A line of the configuration itself.
    fn line(&mut self, line: &str, place: Place) -> Result<(), Unreadable> {
        let mut out = String::with_capacity(line.len() + 1);
        if self.inside == Inside::Nothing && begins_item(line) {
            out.push(MARK);
        }
        let letters: Vec<char> = line.chars().collect();
        let mut at = 0;
        while at < letters.len() {
            self.check_length(out.len(), place)?;
            let here = Place { column: at + 1, ..place };
            at = match self.inside {
                Inside::Comment(depth) => self.in_comment(&letters, at, depth, &mut out),
                Inside::Text(quote) => self.in_text(&letters, at, quote, &mut out),
                Inside::Nothing => self.in_code(&letters, at, here, &mut out)?,
            };
        }
        match self.inside {
            Inside::Comment(_) => self.comment_line(),
            Inside::Text(quote) if self.are_texts_short => {
                self.find(Code::Parse, self.opened, "this text is not closed".to_owned(), "");
                out.push(quote);
                self.inside = Inside::Nothing;
            }
            _ => {}
        }
        self.source.push_line(&out, (place.file, place.line));
        Ok(())
    }

    fn comment_line(&mut self) {
        if let Some(comment) = self.source.comments.last_mut() {
            comment.lines.push(String::new());
        }
    }

    fn in_comment(&mut self, letters: &[char], at: usize, depth: usize, out: &mut String) -> usize {
        let pair = (letters[at], letters.get(at + 1).copied());
        let (step, next) = match pair {
            ('*', Some('/')) if depth == 1 => (2, Inside::Nothing),
            ('*', Some('/')) => (2, Inside::Comment(depth - 1)),
            ('/', Some('*')) => (2, Inside::Comment(depth + 1)),
            (letter, _) => {
                let comment = self.source.comments.last_mut();
                if let Some(line) = comment.and_then(|comment| comment.lines.last_mut()) {
                    line.push(letter);
                }
                (1, self.inside)
            }
        };
        self.inside = next;
        out.extend(std::iter::repeat_n(' ', step));
        at + step
    }

    fn in_text(&mut self, letters: &[char], at: usize, quote: char, out: &mut String) -> usize {
        let letter = letters[at];
        if letter == '\\' && quote == '"' {
            let next = letters.get(at + 1).copied();
            let keeps = self.dialect.escapes_quotes() || next != Some('"');
            if let (Some(next), true) = (next, keeps) {
                out.extend([letter, next]);
                return at + 2;
            }
            // In this dialect the backslash is a letter and the text ends behind it.
            out.push_str("\\\\");
            return at + 1;
        }
        if letter == quote {
            self.inside = Inside::Nothing;
            out.push(letter);
            self.substitute_text(out);
            return at + 1;
        }
        out.push(letter);
        at + 1
    }

    fn substitute_text(&mut self, out: &mut String) {
        if !self.substitutions.iter().all(|substitution| substitution.apply(out)) {
            let message = "this text grows without measure by `#!subst`".to_owned();
            self.find(Code::Parse, self.opened, message, "shorten what is put into it");
        }
    }

    fn in_code(
        &mut self,
        letters: &[char],
        at: usize,
        here: Place,
        out: &mut String,
    ) -> Result<usize, Unreadable> {
        let letter = letters[at];
        let next = letters.get(at + 1).copied();
        let is_line_comment = letter == '#'
            || (letter == '/'
                && next == Some('/')
                && self.dialect.has_slash_comments()
                && !follows_colon(out));
        if is_line_comment {
            let text: String = letters[at..].iter().collect();
            let text = text.trim_start_matches(['#', '/']).trim_end().to_owned();
            let is_trailing = !out.trim_matches([' ', '\t', MARK]).is_empty();
            let offset = self.source.text.len() + out.len();
            self.source.comments.push(Comment { at: offset, lines: vec![text], is_trailing });
            return Ok(letters.len());
        }
        // A variable in brackets may hold anything but its own end: `$(ru{re.subst,/a//})`.
        if letter == '$'
            && next == Some('(')
            && let Some(length) = bracketed(&letters[at + 1..])
        {
            out.extend(&letters[at..=at + length]);
            return Ok(at + length + 1);
        }
        match (letter, next) {
            ('/', Some('*')) => {
                let is_trailing = !out.trim_matches([' ', '\t', MARK]).is_empty();
                let lines = vec![String::new()];
                let offset = self.source.text.len() + out.len();
                self.source.comments.push(Comment { at: offset, lines, is_trailing });
                self.inside = Inside::Comment(1);
                self.opened = here;
                out.push_str("  ");
                return Ok(at + 2);
            }
            ('"' | '\'', _) => {
                self.inside = Inside::Text(letter);
                self.opened = here;
            }
            ('(' | '{' | '[', _) => {
                self.nesting += 1;
                if self.nesting > MAX_NESTING {
                    let (file, line) = (&self.source.files[here.file].0, here.line);
                    return Err(format!(
                        "{file}:{line}: more than {MAX_NESTING} brackets are open"
                    ));
                }
            }
            (')' | '}' | ']', _) => self.nesting = self.nesting.saturating_sub(1),
            _ if letter.is_ascii_alphabetic() || letter == '_' => {
                return Ok(self.word(letters, at, here, out));
            }
            (MARK, _) => {
                out.push(' ');
                return Ok(at + 1);
            }
            _ => {}
        }
        out.push(letter);
        Ok(at + 1)
    }

    /// Copies a word, or the code that it stands for.
    fn word(&mut self, letters: &[char], at: usize, here: Place, out: &mut String) -> usize {
        let is_part = |c: &&char| c.is_ascii_alphanumeric() || **c == '_';
        let length = letters[at..].iter().take_while(is_part).count();
        let word: String = letters[at..at + length].iter().collect();
        let is_name = !out.ends_with(['$', '@', '.']);
        let mut code = String::new();
        if is_name && let Some(defined) = self.macros.get(&word) {
            self.expand(defined, 0, &mut code);
        }
        if code.len() > MAX_EXPANSION {
            let message =
                format!("what is defined as `{word}` has more than {MAX_EXPANSION} letters");
            self.find(Code::Parse, here, message, "shorten what its `#!define` names");
            code.clear();
        }
        out.push_str(if code.is_empty() { &word } else { &code });
        at + length
    }

    /// Appends code with what is defined in it; ends early where it grows too long.
    fn expand(&self, code: &str, depth: usize, out: &mut String) {
        if depth > 4 {
            return out.push_str(code);
        }
        for part in words(code) {
            match self.macros.get(part) {
                _ if out.len() > MAX_EXPANSION => return,
                Some(inner) if inner != code => self.expand(inner, depth + 1, out),
                _ => out.push_str(part),
            }
        }
    }
}

/// The words of code, and what stands between them.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let parts = code.as_bytes().chunk_by(move |one, next| is_part(*one) == is_part(*next));
    parts.filter_map(|part| str::from_utf8(part).ok())
}

/// How many letters a bracket and what it holds are, when it closes on this line.
fn bracketed(letters: &[char]) -> Option<usize> {
    let mut depth = 0;
    for (index, letter) in letters.iter().enumerate() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(index + 1),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn follows_colon(out: &str) -> bool {
    out.ends_with(':')
}

/// Does a top-level item begin in column 0?
fn begins_item(line: &str) -> bool {
    TOP_LEVEL.iter().any(|keyword| {
        line.strip_prefix(keyword).is_some_and(|rest| {
            let rest = rest.trim_start();
            match keyword.ends_with("route") {
                true => rest.is_empty() || rest.starts_with(['{', '[', '#']),
                false => rest.starts_with(['(', '"', 'x', '\'']),
            }
        })
    })
}

#[cfg(test)]
mod tests;
