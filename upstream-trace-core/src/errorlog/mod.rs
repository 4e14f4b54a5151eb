//! nginx's error.log: taking its lines apart, and what they say.
//!
//! A line holds words of the client (the request, `Host`, `Referer`) and of the upstream, which nginx does not escape:
//! nothing in it is trusted further than the order in which nginx writes its parts.

mod address;
mod json;
mod kind;
mod messages;
mod parse;
mod tags;
mod text;
mod wrapping;

pub(crate) use address::unix_paths;
pub use address::{fits, upstream_address, upstream_group};
pub use json::{JsonHead, json_head};
pub use kind::{
    Doing, Kind, MEMORY_CALLS, doing, file_named, is_limiting, is_resolver_error, is_used, kind, meaning,
    own_target,
};
pub use messages::{Meaning, OTHER_PROTOCOL};
pub use parse::parse;
pub use wrapping::{LONGEST_ENVELOPE, Piece, Pieces, Stream, Wrapping};
