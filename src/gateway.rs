//! SIP ⇄ XMPP as pure functions over tables: addresses, errors and messages of both networks; and the small
//! machines that keep messages in order and know what became of them.
//!
//! Nothing here does IO or reads a clock. What must be unique is passed in, but for the ids of pings.

mod account;
mod address;
mod awaited;
mod charset;
mod composing;
pub mod condition;
mod content;
mod cpim;
mod delay;
mod dialect;
mod envelope;
mod error;
mod handover;
pub mod html;
mod imdn;
mod lanes;
pub mod ledger;
mod mapping;
mod media_type;
mod message;
mod notice;
mod recent;
mod request;
mod ser;
pub mod text;
mod transfer_encoding;

pub use account::{
    Account, AccountSettings, Action, Incoming as AccountMessage, Order, Received, Text, Wish,
    Written, error_words,
};
pub use address::{AddressError, SipsPolicy};
pub use awaited::{Awaited, End};
pub use composing::Composing;
pub use condition::{ErrorMap, Scope};
pub use content::{ACCEPT, Content, ContentError};
pub use cpim::Cpim;
pub use delay::sip_date;
pub use dialect::{Addressing, Dialect, Kamailio, Side};
pub use envelope::{asks_receipt, receipt_for};
pub use error::MessageError;
pub use handover::{Fate, Handover, OutgoingStanzaMeta};
pub use imdn::{Asked, Disposition, Receipt};
pub use lanes::Lanes;
pub use ledger::{Ledger, MessageId};
pub use mapping::{ImType, LargeMessages, Mapping};
pub use media_type::MediaType;
pub use message::{
    AccountStanza, Incoming, Nothing, Outgoing, OutgoingStanza, message_from_stanza,
    request_between, stanza_from_message, stanza_to, text_message,
};
pub use notice::{
    Failure, Wording, error_from_response, failure_from_error, notice_from_error, notice_to_sender,
    receipt_to_sender,
};
pub use recent::{Recent, RecentBounds};
pub use request::{MAX_PAGER, OutgoingRequest, RequestIds, VIA_RESERVE};
pub use ser::{Destination, Ser, SerDomain};
