//! One script file: its functions, constants and imports.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Engine, FnAccess, ParseError, Position, Stmt};

use super::walk::{Facts, Import, Walk, definition};
use crate::diagnostic::{Diagnostic, Severity};

/// One parsed file.
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) functions: Vec<Function>,
    /// Constants of the top level, which functions see.
    constants: Vec<String>,
    /// Variables of the top level that functions cannot see.
    pub(super) invisible: BTreeSet<String>,
    /// What other files may read as `alias::NAME`.
    pub(super) exported: BTreeSet<String>,
    /// What the top level itself does.
    pub(super) top: Facts,
    /// Statements that never run for a message.
    pub(super) idle: Vec<Position>,
    /// Index of the imported file by alias; `None` when that file cannot be read or parsed.
    pub(super) aliases: BTreeMap<String, Option<usize>>,
}

/// One function of a script.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) params: Vec<String>,
    pub(super) is_private: bool,
    /// Line and column of the name.
    pub(super) at: (usize, usize),
    pub(super) facts: Facts,
}

impl Function {
    pub(super) fn is_closure(&self) -> bool {
        self.name.starts_with("anon$")
    }
}

impl Unit {
    /// Parses `text`; `globals` are variables that the host gives to every script.
    pub(super) fn parse(
        engine: &Engine,
        name: &str,
        text: &str,
        globals: &[&str],
    ) -> Result<Self, ParseError> {
        let ast = engine.compile(text)?;
        let mut unit = Self {
            name: name.to_owned(),
            text: text.to_owned(),
            functions: Vec::new(),
            constants: Vec::new(),
            invisible: BTreeSet::new(),
            exported: BTreeSet::new(),
            top: Facts::default(),
            idle: Vec::new(),
            aliases: BTreeMap::new(),
        };
        unit.top_level(&ast, globals);
        let visible = unit.constants.iter().map(String::as_str).chain(globals.iter().copied());
        unit.functions = functions(&ast, text, &visible.collect::<Vec<_>>());
        Ok(unit)
    }

    fn top_level(&mut self, ast: &AST, globals: &[&str]) {
        let mut walk = Walk::new(globals.iter().map(ToString::to_string));
        for statement in ast.statements() {
            walk.statement(statement);
            match statement {
                Stmt::Var(x, flags, at) => {
                    let (is_constant, is_exported) = definition(*flags);
                    let name = x.0.name.to_string();
                    if is_exported {
                        self.exported.insert(name.clone());
                    }
                    if is_constant {
                        self.constants.push(name);
                    } else {
                        self.invisible.insert(name);
                        self.idle.push(*at);
                    }
                }
                Stmt::Export(x, _) => {
                    let alias = if x.1.is_empty() { &x.0 } else { &x.1 };
                    self.exported.insert(alias.name.to_string());
                }
                Stmt::Import(..) | Stmt::Noop(_) => {}
                other => self.idle.push(other.position()),
            }
        }
        self.top = walk.finish();
    }

    /// The constants of the top level.
    pub(super) fn constants(&self) -> impl Iterator<Item = &str> {
        self.constants.iter().map(String::as_str)
    }

    /// The `import` statements of the top level.
    pub(super) fn imports(&self) -> &[Import] {
        &self.top.imports
    }

    /// Every body of the file with its function; `None` is the top level.
    pub(super) fn bodies(&self) -> impl Iterator<Item = (Option<&Function>, &Facts)> {
        let functions = self.functions.iter().map(|function| (Some(function), &function.facts));
        std::iter::once((None, &self.top)).chain(functions)
    }

    /// The forms of a function, one for each number of parameters.
    pub(super) fn forms(&self, name: &str) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(move |function| function.name == name)
    }

    /// A finding at a position, underlining the word or literal that begins there.
    pub(super) fn finding(
        &self,
        severity: Severity,
        at: Position,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.finding_at(severity, place(at), message)
    }

    /// A finding at a line and a column.
    pub(super) fn finding_at(
        &self,
        severity: Severity,
        (line, column): (usize, usize),
        message: impl Into<String>,
    ) -> Diagnostic {
        finding_at(&self.name, &self.text, severity, (line, column), message.into())
    }
}

/// A syntax error in a text of this name.
pub(super) fn at_error(name: &str, text: &str, error: &ParseError, message: String) -> Diagnostic {
    finding_at(name, text, Severity::Error, place(error.position()), message)
}

fn place(at: Position) -> (usize, usize) {
    (at.line().unwrap_or_default(), at.position().unwrap_or(1))
}

fn finding_at(
    name: &str,
    text: &str,
    severity: Severity,
    (line, column): (usize, usize),
    message: String,
) -> Diagnostic {
    let finding = Diagnostic::about(severity, name, message);
    match line.checked_sub(1).map(|above| text.lines().nth(above).unwrap_or_default()) {
        Some(source) => finding.at(text, line, column, token_width(source, column)),
        None => finding,
    }
}

/// How many characters the token at a column has: a word, a string, or one sign.
fn token_width(line: &str, column: usize) -> usize {
    let mut rest = line.chars().skip(column.saturating_sub(1));
    match rest.next() {
        Some(quote @ ('"' | '\'' | '`')) => {
            let mut is_escaped = false;
            let inside = rest.take_while(|c| {
                let ends = *c == quote && !is_escaped;
                is_escaped = *c == '\\' && !is_escaped;
                !ends
            });
            inside.count() + 2
        }
        Some(c) if c.is_alphanumeric() || c == '_' => {
            1 + rest.take_while(|c| c.is_alphanumeric() || *c == '_').count()
        }
        _ => 1,
    }
}

fn functions(ast: &AST, text: &str, visible: &[&str]) -> Vec<Function> {
    let mut found: Vec<Function> = ast
        .iter_fn_def()
        .map(|defined| {
            let params: Vec<String> = defined.params.iter().map(ToString::to_string).collect();
            let scope = visible.iter().map(ToString::to_string).chain(params.iter().cloned());
            let mut walk = Walk::new(scope);
            // Rhai gives a body only to a walk over a whole tree, so a tree of one function is made.
            let mut alone = ast.clone_functions_only();
            alone.retain_functions(|_, _, name, arity| {
                name == defined.name && arity == params.len()
            });
            alone.walk(&mut |path| {
                if let [ASTNode::Stmt(statement)] = path {
                    walk.statement(statement);
                }
                true
            });
            Function {
                at: definition_of(text, &defined.name, defined.body.start_position()),
                name: defined.name.to_string(),
                is_private: defined.access == FnAccess::Private,
                params,
                facts: walk.finish(),
            }
        })
        .collect();
    found.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    found
}

/// Line and column of a function's name, which Rhai does not keep: the nearest `fn name` above
/// its body.
fn definition_of(text: &str, name: &str, body: Position) -> (usize, usize) {
    let line = body.line().unwrap_or_default();
    let before = text.lines().enumerate().take(line).collect::<Vec<_>>();
    before
        .into_iter()
        .rev()
        .find_map(|(above, source)| Some((above + 1, name_column(source, name)?)))
        .unwrap_or((line, body.position().unwrap_or(1)))
}

fn name_column(source: &str, name: &str) -> Option<usize> {
    source.match_indices(name).find_map(|(at, _)| {
        let before = source[..at].trim_end();
        let after = source[at + name.len()..].trim_start();
        let is_definition = before.ends_with("fn") && before.len() < at && after.starts_with('(');
        is_definition.then(|| source[..at].chars().count() + 1)
    })
}
