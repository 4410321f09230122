//! SIP without IO: messages, their elements, framing and validation (RFC 3261).

mod body;
mod cseq;
mod edit;
mod error;
mod escape;
mod framing;
mod header;
mod host;
mod lex;
mod message;
mod method;
mod name_addr;
mod params;
mod parse;
mod reply;
mod uri;
mod uri_edit;
mod uri_equivalence;
mod validate;
mod via;
mod views;

pub use cseq::CSeq;
pub use error::{EditError, FramingError, HeaderError, ParseError, UriError};
pub use escape::{escape_user, unescape, unescape_text};
pub use framing::{Frame, Framed, Limits, StreamFramer, datagram};
pub use header::HeaderId;
pub use message::{HeaderRef, Message};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use reply::{Body, reply, standard_reason};
pub use uri::{Scheme, Uri};
pub use validate::Finding;
pub use via::Via;
