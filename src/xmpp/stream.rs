//! Streams as machines without sockets and clocks.

pub mod client;
pub mod component;
pub mod end;
pub mod features;
pub mod header;
pub mod resumption;
pub mod sasl;

pub use client::Client;
pub use component::Component;
pub use header::StreamHeader;

#[cfg(test)]
mod ladder;

#[cfg(test)]
pub(crate) mod test_clock {
    use std::time::Instant;

    /// Some instant to count from; tests add to it and never look at the clock again.
    #[expect(clippy::disallowed_methods)]
    pub(crate) fn start_of_time() -> Instant {
        Instant::now()
    }
}
