//! Everything that needs neither root nor Linux: recordings, replay, reports, explanations, and what is printed.
//!
//! Nothing here may depend on aya, procfs, netlink or Linux: a recording can be read on a laptop of any system.
//! `cargo xtask lint` checks the dependency tree.

pub mod args;
pub mod commands;
pub mod explain;
mod new_file;
pub mod output;
pub mod recording;
pub mod report;
pub mod sinks;
