//! What nginx's resolver asks name servers, and what becomes of it.
//!
//! The program gives every message to a [`Tracker`]; only lookups that are in trouble become events. The rules by which
//! an answer counts are those of `ngx_resolver_process_response()` (1.22 to 1.31): what it drops is as good as silence.

mod message;
mod tracker;

pub use message::{Message, kind_name, parse};
pub use tracker::{Exchange, Tracker};

/// The name of an answer code.
#[must_use]
pub fn code_name(code: u8) -> &'static str {
    match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => "unknown code",
    }
}
