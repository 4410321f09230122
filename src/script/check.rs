//! Finds in a route script what would otherwise fail when a message comes.

mod call;
mod clash;
mod route;
mod syntax;
mod unit;
mod variable;
mod walk;
mod world;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::{fs, io};

use rhai::{Engine, OptimizationLevel};

use super::export::Catalogue;
use super::import::{self, ImportError, Sources};
use crate::diagnostic::{Diagnostic, Severity};
use unit::Unit;
use world::{Library, World};

/// Reads scripts against the functions that they may call.
pub struct Checker {
    engine: Engine,
    catalogue: Catalogue,
    library: Library,
}

/// Gives the name in messages and the text of the file that an `import` means.
type Load<'l> = &'l mut dyn FnMut(&str) -> Result<(String, String), ImportError>;

impl Checker {
    /// A checker for scripts that will run in an engine made like `engine`.
    ///
    /// What the engine has registered counts as known, with any types of arguments; the catalogue
    /// says more and therefore goes first.
    pub fn new(mut engine: Engine, catalogue: Catalogue) -> Self {
        // The tree must be as the author wrote it, and the check does these two better.
        engine.set_optimization_level(OptimizationLevel::None);
        engine.set_strict_variables(false);
        let library = Library::of(&engine);
        Self { engine, catalogue, library }
    }

    /// The findings in the script at `path` and in every file that it imports, in the order of
    /// files and lines.
    pub fn check_file(&self, path: &Path) -> io::Result<Vec<Diagnostic>> {
        self.read(path).map(|(findings, _)| findings)
    }

    /// The findings in a script whose files are read once, and those files, to be compiled as they were checked.
    pub fn read(&self, path: &Path) -> io::Result<(Vec<Diagnostic>, Sources)> {
        let text = fs::read_to_string(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut sources =
            Sources { name: path.display().to_string(), text, imports: BTreeMap::new() };
        let Sources { name, text, imports } = &mut sources;
        let findings = self.check(name, text, &mut |import| {
            let file = import::locate(folder, import)?;
            let text = fs::read_to_string(&file)
                .map_err(|source| ImportError::Unreadable { path: import.to_owned(), source })?;
            let source = (file.display().to_string(), text);
            imports.insert(import.to_owned(), source.clone());
            Ok(source)
        });
        Ok((findings, sources))
    }

    /// The findings in a script that is not in a file and imports nothing.
    pub fn check_text(&self, name: &str, text: &str) -> Vec<Diagnostic> {
        self.check(name, text, &mut |path| Err(ImportError::Outside(path.to_owned())))
    }

    fn check(&self, name: &str, text: &str, load: Load<'_>) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let (units, order) = self.units(name, text, load, &mut findings);
        if !units.is_empty() {
            let world = World { units, catalogue: &self.catalogue, library: &self.library };
            call::check(&world, &mut findings);
            clash::check(&world, &mut findings);
            variable::check(&world, &mut findings);
            route::check(&world, &mut findings);
        }
        let file = |finding: &Diagnostic| order.iter().position(|name| *name == finding.file);
        findings.sort_by_cached_key(|f| (file(f), f.line, f.column, f.message.clone()));
        findings.dedup();
        findings
    }

    /// The script and what it imports, directly or not, and the names of all files in the order
    /// of their imports. The script itself comes first; without it there is nothing.
    fn units(
        &self,
        name: &str,
        text: &str,
        load: Load<'_>,
        findings: &mut Vec<Diagnostic>,
    ) -> (Vec<Unit>, Vec<String>) {
        let mut order = vec![name.to_owned()];
        let mut units: Vec<Unit> = self.parse(name, text, findings).into_iter().collect();
        let mut known = BTreeMap::from([(name.to_owned(), Some(0))]);
        let mut waiting: VecDeque<usize> = (0..units.len()).collect();
        while let Some(importer) = waiting.pop_front() {
            for (alias, path, at) in imports(&units[importer], findings) {
                let (name, text) = match load(&path) {
                    Ok(found) => found,
                    Err(error) => {
                        let finding =
                            units[importer].finding(Severity::Error, at, error.to_string());
                        findings.push(finding);
                        units[importer].aliases.insert(alias, None);
                        continue;
                    }
                };
                let index = *known.entry(name.clone()).or_insert_with(|| {
                    order.push(name.clone());
                    units.push(self.parse(&name, &text, findings)?);
                    waiting.push_back(units.len() - 1);
                    Some(units.len() - 1)
                });
                units[importer].aliases.insert(alias, index);
            }
        }
        (units, order)
    }

    fn parse(&self, name: &str, text: &str, findings: &mut Vec<Diagnostic>) -> Option<Unit> {
        match Unit::parse(&self.engine, name, text, self.catalogue.globals()) {
            Ok(unit) => Some(unit),
            Err(error) => {
                let (message, help) = syntax::explain(&error, text);
                let mut finding = unit::at_error(name, text, &error, message);
                finding.help = help;
                findings.push(finding);
                None
            }
        }
    }
}

/// Alias, path and place of every import with a literal path.
fn imports(unit: &Unit, findings: &mut Vec<Diagnostic>) -> Vec<(String, String, rhai::Position)> {
    let mut found = Vec::new();
    for import in unit.imports() {
        match &import.path {
            Some(path) => found.push((import.alias.clone(), path.clone(), import.path_at)),
            None => {
                let message = "the path of an import must be plain text";
                findings.push(
                    unit.finding(Severity::Error, import.at, message)
                        .with_help("files are imported when the script is loaded"),
                );
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
