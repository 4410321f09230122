//! Digest authentication of requests: challenges, credentials, nonces (RFC 3261 §22, RFC 7616, RFC 8760).

mod algorithm;
mod challenge;
mod credentials;
mod nonce;
mod nonce_count;
mod outcome;
mod response;

pub use algorithm::{Algorithm, Hash};
pub use challenge::{Challenge, Qops};
pub use credentials::{Credentials, Nc, Qop};
pub use nonce::{Nonce, Nonces};
pub use nonce_count::{Count, NonceCounts};
pub use outcome::Outcome;
pub use response::Ha1;

#[cfg(test)]
mod tests;
