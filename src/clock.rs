//! The only reader of the clock.
#![allow(clippy::disallowed_methods, reason = "this is the place")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time that timers are measured in.
pub fn now() -> Instant {
    Instant::now()
}

/// The time since 1970-01-01 UTC; zero where the system's clock is set before it.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
