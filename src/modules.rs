//! Every module built into the server.

/// The names that `[modules.NAME]` may use.
pub fn names() -> Vec<&'static str> {
    Vec::new()
}
