//! What ties a login to the connection it goes over: the exporter of TLS 1.3 (RFC 8446 §7.5, RFC 9266).
//!
//! rustls computes exporters only for connections that keep buffers of their own. For the others it hands over the secret that
//! they come from.

use std::cell::Cell;

use ring::{digest, hkdf};
use rustls::KeyLog;

use crate::xmpp::stream::sasl::ChannelBinding;

/// RFC 9266 §2
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

thread_local! {
    /// The secret of the handshake that this thread has just finished.
    static SECRET: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Keeps the secret for [`take_binding`], and no other.
#[derive(Debug)]
pub(in crate::net) struct Exporter;

impl KeyLog for Exporter {
    fn log(&self, _label: &str, _client_random: &[u8], secret: &[u8]) {
        SECRET.set(Some(secret.into()));
    }

    fn will_log(&self, label: &str) -> bool {
        label == "EXPORTER_SECRET"
    }
}

/// What binds to the connection whose handshake this thread has just finished; none before TLS 1.3, where nothing is unique to a
/// connection (RFC 9266 §4.2).
pub(super) fn take_binding() -> Option<ChannelBinding> {
    binding(&SECRET.take()?)
}

fn binding(secret: &[u8]) -> Option<ChannelBinding> {
    let algorithm = match secret.len() {
        32 => hkdf::HKDF_SHA256,
        48 => hkdf::HKDF_SHA384,
        _ => return None,
    };
    let nothing = digest::digest(algorithm.hmac_algorithm().digest_algorithm(), &[]);
    let mut derived = vec![0; secret.len()];
    expand(algorithm, secret, LABEL, nothing.as_ref(), &mut derived)?;
    let mut binding = ChannelBinding::default();
    expand(algorithm, &derived, b"exporter", nothing.as_ref(), &mut binding)?;
    Some(binding)
}

/// HKDF-Expand-Label (RFC 8446 §7.1)
fn expand(
    algorithm: hkdf::Algorithm,
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Option<()> {
    let (length, prefix) = (u16::try_from(out.len()).ok()?, b"tls13 ");
    let label_length = u8::try_from(prefix.len() + label.len()).ok()?;
    let context_length = u8::try_from(context.len()).ok()?;
    let info: [&[u8]; 6] =
        [&length.to_be_bytes(), &[label_length], prefix, label, &[context_length], context];
    let secret = hkdf::Prk::new_less_safe(algorithm, secret);
    secret.expand(&info, Length(out.len())).ok()?.fill(out).ok()
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
