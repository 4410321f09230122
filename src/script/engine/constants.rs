//! Constants of scripts as functions see them.

use std::rc::Rc;

use ahash::AHashMap;
use rhai::{Dynamic, Engine, Scope};

/// The constants of each file, by the file's name.
///
/// Rhai writes a constant's value into functions where the constant stands alone; where a method or
/// an index follows, as in `LIST[0]`, it looks for a variable when the function runs, and asks here.
#[derive(Default)]
pub(super) struct Constants(AHashMap<String, AHashMap<String, Dynamic>>);

impl Constants {
    /// Remembers the constants among the top-level variables of a file.
    pub(super) fn insert(&mut self, file: &str, variables: &Scope<'_>) {
        let constants = variables.iter().filter(|(_, is_constant, _)| *is_constant);
        let constants = constants.map(|(name, _, value)| (name.to_owned(), value));
        let constants: AHashMap<_, _> = constants.collect();
        if !constants.is_empty() {
            self.0.insert(file.to_owned(), constants);
        }
    }

    /// Lets an engine find them. A script without constants pays nothing.
    #[expect(deprecated, reason = "the crate's word for an interface that may change")]
    pub(super) fn register(self, engine: &mut Engine) {
        if self.0.is_empty() {
            return;
        }
        let files = Rc::new(self.0);
        engine.on_var(move |name, index, context| {
            // A variable of the function itself has its place already.
            let file = if index == 0 { context.source() } else { None };
            Ok(file.and_then(|file| files.get(file)?.get(name)).cloned())
        });
    }
}
