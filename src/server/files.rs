//! How many files and connections the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the system lets us, and tells how far that is.
///
/// Systems begin with a low one for the sake of programs that use `select`; each account and each connection is a file.
pub(super) fn raise_limit() -> u64 {
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match setrlimit(Resource::RLIMIT_NOFILE, most, most) {
        Ok(()) => most,
        Err(error) => {
            tracing::warn!(%error, limit = now, "the limit of open files cannot be raised");
            now
        }
    }
}
