//! Functions of one name in several files.
//!
//! COMPAT(rhai, 1.27): functions of all files share one memory of what a plain call of a name means,
//! so that a call in one file may reach the function of another.

use std::collections::BTreeMap;

use super::world::{FunctionId, Target, World};
use crate::diagnostic::{Diagnostic, Severity};

/// Finds plain calls of one name that mean a function of one file here and something else there.
pub(super) fn check(world: &World<'_>, findings: &mut Vec<Diagnostic>) {
    // By name and number of arguments: the meaning and the file of the first call.
    let mut meanings: BTreeMap<(&str, usize), (Option<FunctionId>, &str)> = BTreeMap::new();
    for (index, unit) in world.units.iter().enumerate() {
        let calls = unit.bodies().flat_map(|(_, facts)| &facts.calls);
        for call in calls.filter(|call| call.namespace.is_none()) {
            let meaning = match world.resolve(index, call) {
                Target::Function(id) => Some(id),
                Target::Export(_) | Target::Exists => None,
                _ => continue,
            };
            let key = (call.name.as_str(), call.args.len());
            let (first, file) = *meanings.entry(key).or_insert((meaning, &unit.name));
            if first != meaning {
                let message = format!("`{}` means another function in `{file}`", call.name);
                let finding = unit.finding(Severity::Error, call.at, message);
                findings.push(finding.with_help("give one of them another name"));
            }
        }
    }
}
