//! Routes: which exist, which are armed, and what may be called in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::unit::{Function, Unit};
use super::walk::{Argument, Call, Value};
use super::world::{FunctionId, Target, World};
use crate::diagnostic::{Diagnostic, Severity};
use crate::script::export::{Export, Kind, ParamType};

/// Checks the routes of the script and everything that they call.
pub(super) fn check(world: &World<'_>, findings: &mut Vec<Diagnostic>) {
    let script = &world.units[0];
    findings.extend(missing_request_route(script));
    let armed = Armed::of(world, findings);
    let reached = Reached::from_routes(world);
    for (unit_index, unit) in world.units.iter().enumerate() {
        for (index, function) in unit.functions.iter().enumerate() {
            match Kind::of_function(&function.name) {
                Some((kind, name)) if unit_index == 0 => {
                    findings.extend(route_function(unit, function, kind, name, &armed));
                }
                Some(_) => findings.push(route_elsewhere(unit, function)),
                None if unit_index == 0 && !reached.contains((unit_index, index)) => {
                    findings.extend(uncalled(unit, function));
                }
                None => {}
            }
            findings.extend(misplaced_calls(world, (unit_index, index), &reached));
        }
    }
}

fn missing_request_route(script: &Unit) -> Option<Diagnostic> {
    let route = Kind::Request.function();
    if script.forms(route).next().is_some() {
        return None;
    }
    let names = script.functions.iter().filter(|f| !f.is_closure()).map(|f| f.name.as_str());
    let finding = Diagnostic::about(Severity::Error, &*script.name, "there is no `request_route`")
        .with_help("write `fn request_route() { … }`; it runs for every request");
    Some(finding.with_suggestion(route, names))
}

fn route_function(
    unit: &Unit,
    function: &Function,
    kind: Kind,
    name: Option<&str>,
    armed: &Armed,
) -> Option<Diagnostic> {
    if !function.params.is_empty() {
        let message = format!("`{}` takes no parameters", function.name);
        return Some(unit.finding_at(Severity::Error, function.at, message));
    }
    let name = name.filter(|name| !armed.may_arm(kind, name))?;
    let message = format!("nothing arms `{}`", function.name);
    let names = armed.names.iter().filter(|(k, _)| *k == kind).map(|(_, name)| name.as_str());
    let finding = unit.finding_at(Severity::Warning, function.at, message);
    Some(finding.with_suggestion(name, names))
}

fn route_elsewhere(unit: &Unit, function: &Function) -> Diagnostic {
    let message = format!("`{}` never runs, because its file is imported", function.name);
    unit.finding_at(Severity::Warning, function.at, message)
        .with_help("routes belong into the script itself; what they call may be imported")
}

fn uncalled(unit: &Unit, function: &Function) -> Option<Diagnostic> {
    if function.is_closure() {
        return None;
    }
    let message = format!("`{}` is never called", function.name);
    let routes = Kind::ALL.into_iter().filter(|kind| !kind.is_named()).map(Kind::function);
    let finding = unit.finding_at(Severity::Warning, function.at, message);
    let bare = Kind::ALL.into_iter().find(|kind| kind.function() == function.name);
    Some(match bare {
        Some(kind) => finding.with_help(format!("this route needs a name: `{kind}_NAME`")),
        None => finding.with_suggestion(&function.name, routes),
    })
}

/// The routes that the script arms.
#[derive(Default)]
struct Armed {
    names: BTreeSet<(Kind, String)>,
    /// Kinds that are armed by a name that is only known when the script runs.
    computed: BTreeSet<Kind>,
}

impl Armed {
    /// Collects what is armed; a literal that names no route is a finding.
    fn of(world: &World<'_>, findings: &mut Vec<Diagnostic>) -> Self {
        let mut armed = Self::default();
        for (index, unit) in world.units.iter().enumerate() {
            for call in unit.bodies().flat_map(|(_, facts)| &facts.calls) {
                let Target::Export(export) = world.resolve(index, call) else { continue };
                for (kind, argument) in armed_by(export, call) {
                    match &argument.value {
                        Value::Str(name) => {
                            findings.extend(missing_route(world, unit, kind, name, argument));
                            armed.names.insert((kind, name.clone()));
                        }
                        _ => {
                            armed.computed.insert(kind);
                        }
                    }
                }
            }
        }
        armed
    }

    fn may_arm(&self, kind: Kind, name: &str) -> bool {
        self.computed.contains(&kind) || self.names.contains(&(kind, name.to_owned()))
    }
}

fn armed_by<'c>(export: &'c Export, call: &'c Call) -> impl Iterator<Item = (Kind, &'c Argument)> {
    let types = export.types.iter().skip(usize::from(call.is_method));
    types.zip(&call.args).filter_map(|(kind, argument)| match kind {
        ParamType::Route(kind) => Some((*kind, argument)),
        _ => None,
    })
}

fn missing_route(
    world: &World<'_>,
    unit: &Unit,
    kind: Kind,
    name: &str,
    argument: &Argument,
) -> Option<Diagnostic> {
    let function = format!("{kind}_{name}");
    let script = &world.units[0];
    // An empty name takes the route back.
    if name.is_empty() || script.forms(&function).next().is_some() {
        return None;
    }
    let routes = script.functions.iter().filter_map(|f| match Kind::of_function(&f.name)? {
        (of, Some(name)) if of == kind => Some(name),
        _ => None,
    });
    let message = format!("there is no route `{name}` of this kind");
    let finding = unit
        .finding(Severity::Error, argument.at, message)
        .with_help(format!("write `fn {function}() {{ … }}`"));
    Some(finding.with_suggestion(name, routes))
}

/// Which functions run in which kinds of route, and by whom they were called first.
struct Reached(BTreeMap<(FunctionId, Kind), FunctionId>);

impl Reached {
    fn from_routes(world: &World<'_>) -> Self {
        let mut reached = BTreeMap::new();
        let mut waiting = VecDeque::new();
        for (index, function) in world.units[0].functions.iter().enumerate() {
            if let Some((kind, _)) = Kind::of_function(&function.name) {
                reached.insert(((0, index), kind), (0, index));
                waiting.push_back(((0, index), kind));
            }
        }
        while let Some((caller, kind)) = waiting.pop_front() {
            for callee in callees(world, caller) {
                if let std::collections::btree_map::Entry::Vacant(new) =
                    reached.entry((callee, kind))
                {
                    new.insert(caller);
                    waiting.push_back((callee, kind));
                }
            }
        }
        Self(reached)
    }

    fn contains(&self, function: FunctionId) -> bool {
        self.kinds(function).next().is_some()
    }

    fn kinds(&self, function: FunctionId) -> impl Iterator<Item = Kind> {
        let is_reached = move |kind: &Kind| self.0.contains_key(&(function, *kind));
        Kind::ALL.into_iter().filter(is_reached)
    }

    /// The functions from the route down to `function`.
    fn path(&self, mut function: FunctionId, kind: Kind) -> Vec<FunctionId> {
        let mut path = vec![function];
        while let Some(caller) = self.0.get(&(function, kind)).filter(|up| **up != function) {
            path.push(*caller);
            function = *caller;
        }
        path.reverse();
        path
    }
}

fn callees(world: &World<'_>, (unit, index): FunctionId) -> Vec<FunctionId> {
    let facts = &world.function((unit, index)).facts;
    let called = facts.calls.iter().filter_map(|call| match world.resolve(unit, call) {
        Target::Function(id) => Some(id),
        _ => None,
    });
    let pointers = facts.references.iter().map(String::as_str);
    let bare = facts.unbound.iter().filter(|v| v.namespace.is_none()).map(|v| v.name.as_str());
    let named: BTreeSet<&str> = pointers.chain(bare).collect();
    let functions = world.units[unit].functions.iter().enumerate();
    let referred = functions.filter(|(_, function)| named.contains(function.name.as_str()));
    called.chain(referred.map(|(index, _)| (unit, index))).collect()
}

fn misplaced_calls(world: &World<'_>, id: FunctionId, reached: &Reached) -> Vec<Diagnostic> {
    let unit = &world.units[id.0];
    let calls = world.function(id).facts.calls.iter();
    calls
        .filter_map(|call| {
            let Target::Export(export) = world.resolve(id.0, call) else { return None };
            let kind = reached.kinds(id).find(|kind| !export.kinds.contains(*kind))?;
            let message = format!("`{}` may not be called in {kind}", export.name);
            let mut help = format!("allowed in: {}", export.kinds);
            let path = reached.path(id, kind);
            if path.len() > 1 {
                let names = path.iter().map(|id| world.function(*id)).map(shown);
                let names = names.collect::<Vec<_>>().join(" calls ");
                help = format!("{help}; {names}");
            }
            Some(unit.finding(Severity::Error, call.at, message).with_help(help))
        })
        .collect()
}

fn shown(function: &Function) -> &str {
    if function.is_closure() { "a closure" } else { &function.name }
}
