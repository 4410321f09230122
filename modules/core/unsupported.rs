//! What stands in a script for what a migration could not carry over.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::ImmutableString;

use crate::script::error::RouteError;
use crate::script::export::ANY;
use crate::script::module::Exports;
use crate::script::route::Route;

/// Places that are remembered; a script has fewer.
const MAX_PLACES: usize = 10_000;

/// The places that have been told, by all workers.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<String>>);

impl Told {
    /// Is this the first time that the place is told?
    fn is_new(&self, place: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_PLACES && told.insert(place.to_owned())
    }
}

pub(super) fn export(exports: &mut Exports) {
    let told = exports.common(Told::default);
    exports.with(told).export("unsupported", ["place", "text"], ANY, unsupported);
}

/// Stands for what `sipjab migrate` could not carry over: says so in the log, once for each place, and returns false.
///
/// ```rhai
/// if unsupported("ser.cfg:120", "enum_query()") { t_relay(); }
/// ```
fn unsupported(
    _: &mut Route,
    told: &Arc<Told>,
    place: ImmutableString,
    text: ImmutableString,
) -> Result<bool, RouteError> {
    if told.is_new(&place) {
        tracing::warn!(target: "script", %place, "not supported: {text}");
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::router::recording::message_route;

    #[test]
    fn a_place_is_told_once_and_is_always_false() {
        let told = Arc::<Told>::default();
        let mut route = message_route(&Rc::default());
        for _ in 0..2 {
            assert_eq!(unsupported(&mut route, &told, "a:1".into(), "x()".into()), Ok(false));
        }
        assert!(!told.is_new("a:1"));
        assert!(told.is_new("a:2"));
    }
}
