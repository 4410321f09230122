//! All files of a script together, and what a name in them means.

use std::collections::{BTreeMap, BTreeSet};

use rhai::Engine;

use super::unit::{Function, Unit};
use super::walk::Call;
use crate::script::export::{Catalogue, Export};

/// The functions that the engine has registered: numbers of arguments by namespace and name.
pub(super) struct Library(BTreeMap<String, BTreeMap<String, BTreeSet<usize>>>);

/// Functions of the language itself, which no engine lists, with their numbers of arguments.
///
/// `call` and `curry` take the function's arguments as well, so any number fits.
const KEYWORDS: &[(&str, &[usize])] = &[
    ("Fn", &[1]),
    ("call", &[]),
    ("curry", &[]),
    ("is_def_fn", &[2]),
    ("is_def_var", &[1]),
    ("is_shared", &[1]),
    ("type_of", &[1]),
];

impl Library {
    /// What `engine` has registered, the standard library included.
    pub(super) fn of(engine: &Engine) -> Self {
        let listed = engine.collect_fn_metadata(
            None,
            |function| {
                let name = function.metadata.name.to_string();
                Some((function.namespace.to_string(), name, function.metadata.num_params))
            },
            true,
        );
        let mut library = BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new();
        for (namespace, name, arity) in listed {
            library.entry(namespace).or_default().entry(name).or_default().insert(arity);
        }
        Self(library)
    }

    fn arities(&self, namespace: &str, name: &str) -> Option<&BTreeSet<usize>> {
        self.0.get(namespace)?.get(name)
    }

    /// Names that a person can write, so neither operators nor property accessors.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let registered = self.0.get("").into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        let keywords = KEYWORDS.iter().map(|(name, _)| *name);
        registered
            .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
            .chain(keywords)
    }

    pub(super) fn has_namespace(&self, namespace: &str) -> bool {
        !namespace.is_empty() && self.0.contains_key(namespace)
    }
}

/// The files of one script and what they may call; the first file is the script itself.
pub(super) struct World<'w> {
    pub(super) units: Vec<Unit>,
    pub(super) catalogue: &'w Catalogue,
    pub(super) library: &'w Library,
}

/// A function by its file and its place therein.
pub(super) type FunctionId = (usize, usize);

/// What a call means.
#[derive(Clone, Copy)]
pub(super) enum Target<'w> {
    /// A function of a script.
    Function(FunctionId),
    /// A function of the catalogue.
    Export(&'w Export),
    /// Something that the check knows no more about than that it exists.
    Exists,
    /// The name exists, but not with this number of arguments.
    WrongArity,
    /// A private function of another file.
    Private,
    /// There is no such namespace.
    NoNamespace,
    /// There is no such name.
    Nothing,
}

impl World<'_> {
    pub(super) fn function(&self, (unit, function): FunctionId) -> &Function {
        &self.units[unit].functions[function]
    }

    /// What `call` in file `unit` means.
    pub(super) fn resolve(&self, unit: usize, call: &Call) -> Target<'_> {
        match &call.namespace {
            Some(namespace) => self.resolve_in(unit, namespace, call),
            None => self.resolve_plain(unit, call),
        }
    }

    fn resolve_in(&self, unit: usize, namespace: &str, call: &Call) -> Target<'_> {
        let arity = call.args.len();
        match self.units[unit].aliases.get(namespace) {
            // The imported file cannot be used, which is a finding already.
            Some(None) => Target::Exists,
            Some(Some(imported)) => match self.script_function(*imported, &call.name, arity) {
                Some(id) if self.function(id).is_private => Target::Private,
                Some(id) => Target::Function(id),
                None => self.absent(self.units[*imported].forms(&call.name).next().is_some()),
            },
            None => match self.library.arities(namespace, &call.name) {
                Some(arities) if arities.contains(&arity) => Target::Exists,
                Some(_) => Target::WrongArity,
                None if self.library.has_namespace(namespace) => Target::Nothing,
                None => Target::NoNamespace,
            },
        }
    }

    /// A method call passes its object as the first argument to what is not a script function.
    fn resolve_plain(&self, unit: usize, call: &Call) -> Target<'_> {
        let written = call.args.len();
        let passed = written + usize::from(call.is_method);
        if let Some(id) = self.script_function(unit, &call.name, written) {
            return Target::Function(id);
        }
        let registered = self.library.arities("", &call.name);
        let is_registered = registered.is_some_and(|arities| arities.contains(&passed));
        // A method is more likely one of its object's own than a function of the catalogue.
        if call.is_method && is_registered {
            return Target::Exists;
        }
        let mut forms = self.catalogue.forms(&call.name).peekable();
        let is_exported = forms.peek().is_some();
        if let Some(export) = forms.find(|export| export.params.len() == passed) {
            return Target::Export(export);
        }
        let keyword = KEYWORDS.iter().find(|(name, _)| *name == call.name);
        let is_keyword = keyword.is_some_and(|(_, n)| n.is_empty() || n.contains(&passed));
        if is_keyword || (is_registered && !is_exported) {
            return Target::Exists;
        }
        let is_function = self.units[unit].forms(&call.name).next().is_some();
        self.absent(is_function || is_exported || keyword.is_some() || registered.is_some())
    }

    fn absent(&self, has_other_arity: bool) -> Target<'_> {
        if has_other_arity { Target::WrongArity } else { Target::Nothing }
    }

    fn script_function(&self, unit: usize, name: &str, arity: usize) -> Option<FunctionId> {
        let is_it = |function: &Function| function.name == name && function.params.len() == arity;
        Some((unit, self.units[unit].functions.iter().position(is_it)?))
    }

    /// Every way to write a call of `name` in file `unit`.
    pub(super) fn signatures(&self, unit: usize, call: &Call) -> Vec<String> {
        let home = match &call.namespace {
            Some(alias) => self.units[unit].aliases.get(alias).copied().flatten(),
            None => Some(unit),
        };
        let functions = home.into_iter().flat_map(|home| self.units[home].forms(&call.name));
        let written = |f: &Function| format!("{}({})", f.name, f.params.join(", "));
        let mut signatures: Vec<String> = functions.map(written).collect();
        if call.namespace.is_none() {
            signatures.extend(self.catalogue.forms(&call.name).map(Export::signature));
        }
        signatures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_what_the_engine_does_not_list() {
        let library = Library::of(&Engine::new());
        for (name, arities) in KEYWORDS {
            let listed = library.arities("", name);
            let is_dead = listed.is_some_and(|l| arities.iter().all(|arity| l.contains(arity)));
            assert!(!is_dead || arities.is_empty(), "{name}");
        }
        assert!(library.names().any(|name| name == "to_upper"));
    }
}
