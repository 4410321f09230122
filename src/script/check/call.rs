//! Calls: does the function exist, and do the arguments fit?

use super::syntax::disabled;
use super::unit::{Function, Unit};
use super::walk::{Argument, Call, Facts, Value};
use super::world::{Target, World};
use crate::diagnostic::{Diagnostic, Severity};
use crate::script::export::{Export, ParamType};
use crate::script::{retired, substitution};

/// Checks every call of every file.
pub(super) fn check(world: &World<'_>, findings: &mut Vec<Diagnostic>) {
    for (index, unit) in world.units.iter().enumerate() {
        for (function, facts) in unit.bodies() {
            for call in &facts.calls {
                findings.extend(check_call(world, index, call));
            }
            if function.is_some() {
                findings.extend(nested_imports(unit, facts));
            }
        }
        findings.extend(unit.functions.iter().filter_map(|function| hides(world, unit, function)));
    }
}

fn check_call(world: &World<'_>, unit: usize, call: &Call) -> Vec<Diagnostic> {
    let file = &world.units[unit];
    let error = |message: String| file.finding(Severity::Error, call.at, message);
    match world.resolve(unit, call) {
        _ if disabled(&call.name).is_some() && is_of_the_language(world, unit, call) => {
            let reason = disabled(&call.name).unwrap_or_default();
            vec![error(format!("`{}` is switched off", call.name)).with_help(reason)]
        }
        Target::Export(export) => {
            let lack =
                export.lack.map(|lack| error(format!("`{}` cannot work: {lack}", call.name)));
            lack.into_iter().chain(arguments(file, export, call)).collect()
        }
        Target::Exists if is_retired_here(call) => vec![unknown(world, unit, call)],
        Target::Function(_) | Target::Exists => Vec::new(),
        Target::WrongArity => vec![wrong_arity(world, unit, call)],
        Target::Private => {
            vec![error(format!("`{}` is private to the imported file", call.name))]
        }
        Target::NoNamespace => {
            let namespace = call.namespace.as_deref().unwrap_or_default();
            let help = format!("write `import \"…\" as {namespace};` at the top of the file");
            let aliases = file.aliases.keys().map(String::as_str);
            let message = format!("nothing is imported as `{namespace}`");
            let finding = file.finding(Severity::Error, call.namespace_at, message);
            vec![finding.with_help(help).with_suggestion(namespace, aliases)]
        }
        Target::Nothing if may_be_a_closure(world, call) => Vec::new(),
        Target::Nothing => vec![unknown(world, unit, call)],
    }
}

/// Is the name neither defined by the script nor by the catalogue?
fn is_of_the_language(world: &World<'_>, unit: usize, call: &Call) -> bool {
    let is_defined = world.units[unit].forms(&call.name).next().is_some();
    !is_defined && call.namespace.is_none() && world.catalogue.forms(&call.name).next().is_none()
}

/// `map.f(…)` calls what the map holds.
fn may_be_a_closure(world: &World<'_>, call: &Call) -> bool {
    let mut bodies = world.units.iter().flat_map(Unit::bodies);
    call.is_method && bodies.any(|(_, facts)| facts.properties.contains(&call.name))
}

/// A legacy name that Rhai has for something else: `log("text")` is no logarithm.
fn is_retired_here(call: &Call) -> bool {
    let is_text =
        |argument: &Argument| matches!(argument.value, Value::Str(_) | Value::Interpolated);
    !call.is_method && call.args.iter().any(is_text) && retired::advice(&call.name).is_some()
}

fn unknown(world: &World<'_>, unit: usize, call: &Call) -> Diagnostic {
    let file = &world.units[unit];
    let what = if call.is_method { "method" } else { "function" };
    let message = format!("there is no {what} `{}`", call.name);
    let finding = file.finding(Severity::Error, call.at, message);
    let home = match &call.namespace {
        Some(alias) => world.units[unit].aliases.get(alias).copied().flatten(),
        None => Some(unit),
    };
    let functions = home.into_iter().flat_map(|home| &world.units[home].functions);
    let own = functions.filter(|f| !f.is_closure() && !f.is_private).map(|f| f.name.as_str());
    match call.namespace {
        Some(_) => finding.with_suggestion(&call.name, own),
        None if let Some(advice) = retired::advice(&call.name) => finding.with_help(advice),
        None => {
            let names = own.chain(world.catalogue.names()).chain(world.library.names());
            finding.with_suggestion(&call.name, names)
        }
    }
}

fn wrong_arity(world: &World<'_>, unit: usize, call: &Call) -> Diagnostic {
    let signatures = world.signatures(unit, call);
    let count = match call.args.len() {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        many => format!("{many} arguments"),
    };
    let message = format!("`{}` cannot be called with {count}", call.name);
    let finding = world.units[unit].finding(Severity::Error, call.at, message);
    match signatures.is_empty() {
        true => finding,
        false => finding.with_help(format!("it is {}", signatures.join(" or "))),
    }
}

fn arguments(file: &Unit, export: &Export, call: &Call) -> Vec<Diagnostic> {
    // The object of a method call is the first argument and is no literal worth checking.
    let skip = usize::from(call.is_method);
    let wanted = export.params.iter().zip(export.types).skip(skip);
    wanted
        .zip(&call.args)
        .filter_map(|((name, kind), argument)| {
            let (problem, help) = misfit(*kind, argument)?;
            let message = format!("`{name}` of `{}` {problem}", export.name);
            let finding = file.finding(Severity::Error, argument.at, message);
            Some(match help {
                Some(help) => finding.with_help(help),
                None => finding.with_help(format!("it is {}", export.signature())),
            })
        })
        .collect()
}

/// Why a literal cannot be an argument of this type, and what to do.
fn misfit(kind: ParamType, argument: &Argument) -> Option<(String, Option<String>)> {
    use ParamType::{Any, Bool, Int, Regex, Route, Status, Str, Substitution};
    let not =
        |wanted: &str| Some((format!("must be {wanted}, not {}", argument.value.kind()), None));
    match (kind, &argument.value) {
        (Any, _) | (_, Value::Unknown) => None,
        (Regex, Value::Str(pattern)) => bad_regex(pattern),
        (Substitution, Value::Str(text)) => bad_substitution(text),
        (Str | Regex | Substitution | Route(_), Value::Str(_) | Value::Interpolated) => None,
        (Str | Regex | Substitution | Route(_), Value::Char) => {
            let advice = "text stands in double quotes; single quotes hold one character";
            Some(("must be text, not a character".to_owned(), Some(advice.to_owned())))
        }
        (Str | Regex | Substitution | Route(_), _) => not("text"),
        (Int, Value::Int(_)) | (Bool, Value::Bool) => None,
        (Status, Value::Int(code)) if (100..=699).contains(code) => None,
        (Status, Value::Int(code)) => {
            Some((format!("must be a SIP status from 100 to 699, not {code}"), None))
        }
        (Int | Status, _) => not("a whole number"),
        (Bool, _) => not("true or false"),
    }
}

fn bad_regex(pattern: &str) -> Option<(String, Option<String>)> {
    let error = regex::Regex::new(pattern).err()?.to_string();
    let reason = error.lines().last().unwrap_or_default();
    let reason = reason.trim_start_matches("error: ").to_owned();
    Some(("is not a valid regular expression".to_owned(), Some(reason)))
}

fn bad_substitution(text: &str) -> Option<(String, Option<String>)> {
    let reason = substitution::Substitution::parse(text).err()?.to_string();
    Some(("is not a valid substitution".to_owned(), Some(reason)))
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Str(_) | Self::Interpolated => "text",
            Self::Int(_) => "a whole number",
            Self::Bool => "true or false",
            Self::Char => "a character",
            Self::Other(kind) => kind,
            Self::Unknown => "something else",
        }
    }
}

fn nested_imports(unit: &Unit, facts: &Facts) -> Vec<Diagnostic> {
    let finding = |import: &super::walk::Import| {
        unit.finding(Severity::Error, import.at, "an import stands inside a function")
            .with_help("move it to the top of the file, where it is loaded once")
    };
    facts.imports.iter().map(finding).collect()
}

/// A script function with the name of a built-in one.
fn hides(world: &World<'_>, unit: &Unit, function: &Function) -> Option<Diagnostic> {
    let mut forms = world.catalogue.forms(&function.name);
    let hidden = forms.find(|export| export.params.len() == function.params.len())?;
    let message = format!("this function hides the built-in {}", hidden.signature());
    Some(
        unit.finding_at(Severity::Warning, function.at, message)
            .with_help("rename it, unless that is what you want"),
    )
}
