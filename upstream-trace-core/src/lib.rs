//! Decides from recorded events why an attempt of nginx to reach an upstream failed.
//!
//! Pure: no clock, no files, no sockets, no kernel. All time comes from the events, so that whoever has a recording
//! gets the same verdicts as the host on which it was made.

pub mod event;
pub mod verdict;
