//! The tests of `nat_uac_test`: does what a message says of its sender agree with where it came from?

use super::{contact, private, sdp};
use crate::sip::transport::Source;
use crate::sip::{Message, Uri};

/// Every bit that has a meaning.
pub(super) const ALL: i64 = 0x1ff;

/// One test.
type Test = fn(&Message, &Source) -> bool;

/// The bits are Kamailio's.
const TESTS: [(i64, Test); 9] = [
    (1, has_private_contact),
    (2, is_via_of_another_address),
    (4, has_private_via),
    (8, has_private_media),
    (16, is_via_of_another_port),
    (32, has_private_source),
    (64, is_web_socket),
    (128, is_contact_of_another_port),
    (256, has_media_elsewhere),
];

/// Does one of the tests that `flags` names find a NAT?
pub(super) fn is_nated(message: &Message, source: &Source, flags: i64) -> bool {
    TESTS.iter().any(|(bit, test)| flags & bit != 0 && test(message, source))
}

/// The body when it is a session description.
pub(super) fn session_description(message: &Message) -> Option<&str> {
    let content_type = message.content_type()?;
    let media = content_type.split(';').next()?.trim();
    let is_sdp = media.eq_ignore_ascii_case("application/sdp");
    str::from_utf8(message.body()).ok().filter(|_| is_sdp)
}

fn any_contact(message: &Message, is_meant: impl Fn(&Uri<'_>) -> bool) -> bool {
    let uris = message.contacts().filter_map(|contact| contact.ok()?.parsed_uri().ok());
    uris.filter(Uri::is_sip).any(|uri| is_meant(&uri))
}

fn has_private_contact(message: &Message, _: &Source) -> bool {
    any_contact(message, |uri| uri.host_ip().is_some_and(private::is_private))
}

/// A name in `sent-by` counts as another address: it is not looked up.
fn is_via_of_another_address(message: &Message, source: &Source) -> bool {
    message.top_via().is_ok_and(|via| via.host_ip() != Some(source.peer.ip().to_canonical()))
}

fn has_private_via(message: &Message, _: &Source) -> bool {
    message.top_via().is_ok_and(|via| via.host_ip().is_some_and(private::is_private))
}

fn has_private_media(message: &Message, _: &Source) -> bool {
    session_description(message).is_some_and(|it| sdp::media_addresses(it).any(private::is_private))
}

fn is_via_of_another_port(message: &Message, source: &Source) -> bool {
    let default = source.transport.default_port();
    message.top_via().is_ok_and(|via| via.port.unwrap_or(default) != source.peer.port())
}

fn has_private_source(_: &Message, source: &Source) -> bool {
    private::is_private(source.peer.ip())
}

fn is_web_socket(_: &Message, source: &Source) -> bool {
    use crate::sip::transport::Transport::{Ws, Wss};
    matches!(source.transport, Ws | Wss)
}

fn is_contact_of_another_port(message: &Message, source: &Source) -> bool {
    any_contact(message, |uri| contact::port(uri) != source.peer.port())
}

/// A stream on hold, at no address, is nowhere else.
fn has_media_elsewhere(message: &Message, source: &Source) -> bool {
    let peer = source.peer.ip().to_canonical();
    session_description(message).is_some_and(|it| {
        sdp::media_addresses(it).any(|ip| !ip.is_unspecified() && ip.to_canonical() != peer)
    })
}
