//! Decides from recorded events why an attempt of nginx to reach an upstream failed.
//!
//! Pure: no clock, no files, no sockets, no kernel. All time comes from the events, so that whoever has a recording
//! gets the same verdicts as the host on which it was made.

pub mod bounded;
pub mod case;
pub mod cause;
pub mod dns;
pub mod engine;
pub mod errno;
pub mod errorlog;
pub mod event;
pub mod evidence;
pub mod hooks;
pub mod http;
pub mod icmp;
pub mod json;
pub mod tables;
#[cfg(test)]
mod testkit;
pub mod text;
pub mod verdict;

pub use bounded::Bounded;
pub use engine::Engine;
