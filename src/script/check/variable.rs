//! Variables that nothing defines, and statements that never run.

use super::unit::{Function, Unit};
use super::walk::Variable;
use super::world::World;
use crate::diagnostic::{Diagnostic, Severity};

/// Checks every variable and the top level of every file.
pub(super) fn check(world: &World<'_>, findings: &mut Vec<Diagnostic>) {
    for unit in &world.units {
        for (function, facts) in unit.bodies() {
            let unbound = facts.unbound.iter();
            findings.extend(unbound.filter_map(|v| unbound_variable(world, unit, function, v)));
        }
        findings.extend(unit.idle.iter().map(|at| {
            unit.finding(Severity::Warning, *at, "this stands outside of every function")
                .with_help("it never runs for a message; only const, import and fn belong here")
        }));
    }
}

fn unbound_variable(
    world: &World<'_>,
    unit: &Unit,
    function: Option<&Function>,
    variable: &Variable,
) -> Option<Diagnostic> {
    let name = &variable.name;
    if let Some(namespace) = &variable.namespace {
        return imported_variable(world, unit, namespace, variable);
    }
    // A bare function name is a pointer to it.
    if unit.forms(name).next().is_some() {
        return None;
    }
    let finding =
        unit.finding(Severity::Error, variable.at, format!("there is no variable `{name}`"));
    let help = if world.catalogue.forms(name).any(|export| export.params.is_empty()) {
        format!("it is a function: `{name}()`")
    } else if unit.invisible.contains(name) && function.is_some() {
        "functions do not see a `let` outside of them; make it `const` or pass it on".to_owned()
    } else if function.is_some_and(Function::is_closure) {
        "a closure does not see the variables around it; give it a parameter".to_owned()
    } else {
        let globals = world.catalogue.globals().iter().copied();
        let params = function.into_iter().flat_map(|function| &function.params);
        let names = params.map(String::as_str).chain(globals);
        return Some(finding.with_suggestion(name, names.chain(unit.constants())));
    };
    Some(finding.with_help(help))
}

fn imported_variable(
    world: &World<'_>,
    unit: &Unit,
    namespace: &str,
    variable: &Variable,
) -> Option<Diagnostic> {
    let Variable { name, at, .. } = variable;
    let error = |message: String| Some(unit.finding(Severity::Error, *at, message));
    if namespace == "global" {
        return match unit.constants().any(|constant| constant == name) {
            true => None,
            false => error(format!("there is no constant `{name}`"))
                .map(|finding| finding.with_suggestion(name, unit.constants())),
        };
    }
    match unit.aliases.get(namespace) {
        Some(None) => None,
        Some(Some(index)) => {
            let imported = &world.units[*index];
            if imported.exported.contains(name) {
                return None;
            }
            let finding = error(format!("`{namespace}` has no constant `{name}`"))?;
            Some(match imported.constants().any(|constant| constant == name) {
                true => finding.with_help(format!("write `export const {name}` in that file")),
                false => {
                    finding.with_suggestion(name, imported.exported.iter().map(String::as_str))
                }
            })
        }
        None if world.library.has_namespace(namespace) => None,
        None => error(format!("nothing is imported as `{namespace}`")),
    }
}
