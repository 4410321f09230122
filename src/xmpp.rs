//! XMPP without IO: bytes in, stanzas out, and back.
//!
//! Bytes from a peer pass the [`framer`] (boundaries and caps), then [`Stanza::read`], which lets
//! them through the [`gate`] (well-formedness) and notes where everything lies. What goes out is
//! written by the [`writer`].

pub mod backoff;
pub mod condition;
pub mod element;
pub mod error;
pub mod framer;
pub mod gate;
pub mod iq;
pub mod jid;
pub mod ns;
pub mod stanza;
pub mod stream;
pub mod text;
pub mod writer;

pub use condition::{Condition, ErrorType, StreamCondition};
pub use element::{Element, Tree};
pub use error::StanzaError;
pub use jid::{BareJid, FullJid, Jid};
pub use stanza::{Kind, Payload, Stanza};
pub use writer::{Writer, escape_text};
