//! An old configuration becomes a route script and a `sipjab.toml`: SER, OpenSER, Kamailio and OpenSIPS.
//!
//! [`Migration::of`] reads a file in four steps: the preprocessor, the grammar, the meaning in each dialect's own terms, and
//! the script. What has no counterpart is told with its place, and the rest goes on.

mod config;
mod dialect;
mod finding;
mod functions;
mod lower;
mod parse;
mod preprocess;
mod report;
mod settings;
mod text;
mod tree;
mod variable;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use crate::diagnostic::Diagnostic;
use config::Settings;
use lower::{Lowering, MARK_CLOSE, MARK_OPEN, World};
use preprocess::{Constant, Source};

pub use dialect::Dialect;
pub use finding::{Code, Finding, Group, Place};
pub use functions::Functions;
pub use lower::Counts;
pub use report::Report;

/// The longest file that is read, in bytes.
const MAX_SIZE: usize = 4_000_000;
/// The script is checked and mended this often at most.
const ROUNDS: usize = 40;
/// Names of the old programs' functions by module.
const KNOWN: &str = include_str!("migrate/known.txt");

/// How a configuration is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The dialect; none to find out.
    pub dialect: Option<Dialect>,
    /// `NAME` or `NAME=value`, defined before the first line.
    pub defines: Vec<String>,
    /// Names that stay undefined whatever the file says.
    pub undefines: Vec<String>,
}

/// What the server knows: which functions there are, and what it says of a configuration with its script.
pub struct Server<'c> {
    /// The functions that scripts may call.
    pub functions: Functions,
    /// The names of the modules.
    pub modules: Vec<&'static str>,
    /// The findings in a configuration and in a script that runs with it.
    #[expect(clippy::type_complexity, reason = "one function that is given once")]
    pub check: &'c (dyn Fn(&str, &str) -> (Vec<Diagnostic>, Vec<Diagnostic>) + Sync),
}

/// What a configuration has become.
#[derive(Clone, Debug)]
pub struct Migration {
    /// `route.rhai`
    pub script: String,
    /// `sipjab.toml`
    pub config: String,
    /// `sipjab.env`: passwords; empty without any.
    pub environment: String,
    /// What became of what.
    pub report: Report,
}

impl Migration {
    /// Carries over the file at `path` with everything that it includes; an error when it cannot be read.
    pub fn of(path: &Path, options: &Options, server: &Server<'_>) -> Result<Self, String> {
        let (source, dialect) = preprocess::read(path, options, options.dialect)?;
        on_a_large_stack(|| Self::from_source(source, dialect, server))
    }

    /// The same for a text that is in no file.
    pub fn of_text(
        name: &str,
        text: &str,
        options: &Options,
        server: &Server<'_>,
    ) -> Result<Self, String> {
        if text.len() > MAX_SIZE {
            return Err(format!("{name}: it is longer than 4 MB"));
        }
        let (source, dialect) = preprocess::read_text(
            name,
            text.to_owned(),
            Path::new(name),
            options,
            options.dialect,
        )?;
        on_a_large_stack(|| Self::from_source(source, dialect, server))
    }

    fn from_source(mut source: Source, dialect: Dialect, server: &Server<'_>) -> Self {
        let items = parse::parse(&mut source, dialect);
        let source = source;
        let name =
            source.files.first().map_or(String::new(), |(name, _)| base_name(name).to_owned());
        let mut settings = Settings::read(&source, dialect, &items, &server.modules);
        let config = sound_config(&mut settings, &name, server);
        let (mut banned, mut reasons) = (BTreeSet::new(), BTreeMap::new());
        let mut uncalled = BTreeSet::new();
        let custom = settings.custom.clone();
        for round in 0.. {
            let world = World {
                source: &source,
                dialect,
                functions: &server.functions,
                known: &MODULES,
                custom: &custom,
                flags: settings.flags.clone(),
                banned: &banned,
                reasons: &reasons,
                uncalled: &uncalled,
            };
            let mut lowering = Lowering::new(world);
            lowering.items(&items);
            let (script, marks) = assembled(&lowering, &name, dialect);
            let (_, found) = (server.check)(&config.1, &script);
            if found.is_empty() || round == ROUNDS {
                let script = if found.is_empty() { script } else { given_up(&script, &name) };
                let mut findings = source.findings.clone();
                findings.extend(settings.findings.iter().cloned());
                findings.extend(lowering.findings.iter().cloned());
                let report = Report::new(&source, dialect, findings, lowering.counts, &settings);
                let environment = settings.environment();
                return Self { script, config: config.0, environment, report };
            }
            let (bans, idle) = blamed(&found, &marks);
            let before = (banned.len(), uncalled.len());
            for (at, reason) in bans {
                banned.insert(at);
                reasons.insert(at, reason);
            }
            uncalled.extend(idle);
            if before == (banned.len(), uncalled.len()) {
                // Nothing to blame: the statements on the lines themselves.
                for finding in &found {
                    if let Some(at) = marks.statement_above(finding.line) {
                        banned.insert(at);
                        reasons.insert(
                            at,
                            format!("the check refuses what it becomes: {}", finding.message),
                        );
                    }
                }
            }
        }
        unreachable!("the last round returns")
    }

    /// Whether everything was carried over.
    pub fn is_complete(&self) -> bool {
        self.report.is_complete()
    }
}

/// A script that says that nothing was carried over, with what was tried as a comment.
fn given_up(script: &str, name: &str) -> String {
    let place = text::literal(&format!("{name}:1"));
    let mut out = format!(
        "// The check refuses what the routes become; translate them by hand.\n\
         fn request_route() {{\n    unsupported({place}, \"the whole configuration\");\n    sl_send_reply(500, \"Not Translated\");\n}}\n\n"
    );
    for line in script.lines() {
        out.push_str(format!("// {line}").trim_end());
        out.push('\n');
    }
    out
}

/// Deep configurations need more stack than a thread has by default.
fn on_a_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(256 << 20);
        let thread = builder.spawn_scoped(scope, work).map_err(|error| error.to_string())?;
        thread.join().map_err(|_| "the translation failed; please report the file".to_owned())
    })
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The module of each function of the old programs.
static MODULES: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
    let rows = KNOWN.lines().filter_map(|line| line.split_once(':'));
    rows.flat_map(|(module, names)| names.split_whitespace().map(move |name| (name, module)))
        .collect()
});

/// The configuration for people and for the check; what the check refuses becomes a comment.
fn sound_config(settings: &mut Settings<'_>, name: &str, server: &Server<'_>) -> (String, String) {
    let mut banned = BTreeSet::new();
    for _ in 0..ROUNDS {
        let (inside, origins) = settings.render(name, &banned, true);
        let (found, _) = (server.check)(&inside, "fn request_route() { }\n");
        let blamed = found.iter().filter_map(|finding| {
            // A table as a whole is refused at its head, above the first of its lines.
            let origin = (0..8).find_map(|below| origins.get(&(finding.line + below)));
            Some((*origin?, finding.message.clone()))
        });
        let blamed: Vec<(usize, String)> = blamed.filter(|(at, _)| !banned.contains(at)).collect();
        if blamed.is_empty() {
            break;
        }
        for (at, reason) in blamed {
            if at != usize::MAX && banned.insert(at) {
                settings.refuse(at, &reason);
            }
            banned.insert(at);
        }
    }
    let (outside, _) = settings.render(name, &banned, false);
    let (inside, _) = settings.render(name, &banned, true);
    (outside, inside)
}

/// Places of calls and statements in the script: line, column and byte of the old text.
struct Marks(Vec<(usize, usize, usize)>);

impl Marks {
    /// The place whose mark stands exactly there.
    fn at(&self, line: usize, column: usize) -> Option<usize> {
        self.0.iter().find(|(l, c, _)| (*l, *c) == (line, column)).map(|(.., at)| *at)
    }

    /// The last mark on or above a line.
    fn statement_above(&self, line: usize) -> Option<usize> {
        self.0.iter().rev().find(|(l, ..)| *l <= line).map(|(.., at)| *at)
    }

    /// The last mark on a line at or before a column.
    fn before(&self, line: usize, column: usize) -> Option<usize> {
        let on_line = self.0.iter().filter(|(l, c, _)| *l == line && *c <= column);
        on_line.max_by_key(|(_, c, _)| *c).map(|(.., at)| *at)
    }
}

/// The whole script without its marks, and where they stood.
fn assembled(lowering: &Lowering<'_>, name: &str, dialect: Dialect) -> (String, Marks) {
    let mut text = format!(
        "// Routes of {name} ({dialect}), carried over by `sipjab migrate`; see MIGRATION.md.\n"
    );
    let constants = constants(lowering);
    let body = lowering.out.trim_start_matches('\n');
    // Comments at the head come before the constants.
    let head = body.lines().take_while(|line| line.starts_with("//")).count();
    let split = body.split_inclusive('\n').take(head).map(str::len).sum();
    let is_head = body[split..].starts_with('\n');
    let (first, rest) = if is_head { body.split_at(split) } else { ("", body) };
    text.push_str(if first.is_empty() || first.starts_with("//\n") { "" } else { "//\n" });
    text.push_str(first);
    text.push('\n');
    text.push_str(&constants);
    text.push_str(rest.trim_start_matches('\n'));
    for (_, code) in helpers(&text) {
        text.push_str(&format!("\n{code}\n"));
    }
    unmarked(&text)
}

fn helpers(text: &str) -> Vec<&'static (&'static str, &'static str)> {
    let calls = |text: &str, sign: &str| {
        text.match_indices(sign).any(|(at, _)| {
            !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        })
    };
    let mut whole: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut needed = Vec::new();
    for helper in variable::HELPERS {
        if calls(&whole, helper.0) {
            whole.push_str(helper.1);
            needed.push(helper);
        }
    }
    needed
}

fn constants(lowering: &Lowering<'_>) -> String {
    let mut out = String::new();
    for name in &lowering.constants {
        let value = match lowering.world.source.constants.get(name) {
            Some(Constant::Number(number)) => number.to_string(),
            Some(Constant::Text(value)) => text::literal(value),
            _ => match lowering.world.flags.get(name) {
                Some(number) => number.to_string(),
                None => custom_value(lowering, name),
            },
        };
        out.push_str(&format!("const {name} = {value};\n"));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn custom_value(lowering: &Lowering<'_>, constant: &str) -> String {
    let mut all = lowering.world.custom.iter();
    let found = all.find(|(name, _)| name.replace('.', "_").to_ascii_uppercase() == constant);
    let value = found.map_or("", |(_, value)| value.as_str());
    value.parse::<i64>().map_or_else(|_| text::literal(value), |number| number.to_string())
}

fn unmarked(marked: &str) -> (String, Marks) {
    let mut out = String::with_capacity(marked.len());
    let mut marks = Vec::new();
    let (mut line, mut column) = (1, 1);
    let mut letters = marked.chars();
    while let Some(letter) = letters.next() {
        match letter {
            MARK_OPEN => {
                let number: String = letters.by_ref().take_while(|c| *c != MARK_CLOSE).collect();
                marks.extend(number.parse().ok().map(|at| (line, column, at)));
            }
            '\n' => {
                line += 1;
                column = 1;
                out.push('\n');
            }
            other => {
                column += 1;
                out.push(other);
            }
        }
    }
    (out.trim_end().to_owned() + "\n", Marks(marks))
}

/// Which places the findings of a check are about, and which functions nothing calls.
fn blamed(found: &[Diagnostic], marks: &Marks) -> (Vec<(usize, String)>, Vec<String>) {
    let (mut bans, mut idle) = (Vec::new(), Vec::new());
    for finding in found {
        let message = finding.message.as_str();
        let name = message.split('`').nth(1).unwrap_or_default();
        let is_idle = message.ends_with("is never called") || message.starts_with("nothing arms");
        if is_idle && !name.is_empty() {
            idle.push(name.to_owned());
            continue;
        }
        let at = marks.at(finding.line, finding.column);
        let at = at.or_else(|| marks.before(finding.line, finding.column));
        let at = at.or_else(|| marks.statement_above(finding.line));
        if let Some(at) = at {
            bans.push((at, format!("what this becomes is refused: {message}")));
        }
    }
    (bans, idle)
}

#[cfg(test)]
#[path = "migrate/meaning/tests.rs"]
mod meaning;
#[cfg(test)]
mod tests;
