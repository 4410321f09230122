//! What a proxy decides (RFC 3261 §16), without IO: how a copy of a request leaves, whether it has looped, which target
//! comes when, and which response goes upstream.

mod breadth;
mod forward;
mod loops;
pub mod loose_route;
pub mod maddr;
mod options;
pub mod record_route;
mod response_context;
mod target_set;

pub use breadth::{Breadth, MAX_BREADTH, incoming_breadth, set_breadth};
pub use forward::{
    ForwardError, add_content_length, add_path, clean_request_uri, count_hop, next_hop,
};
pub use loops::{has_looped, is_spiral, loop_mark};
pub use options::unsupported_options;
pub use response_context::{Action, Actions, Best, BranchOutcome, ResponseContext};
pub use target_set::TargetSet;
