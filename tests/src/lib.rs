//! The fault lab: worlds in which a real nginx fails for a known reason, and what the tool must say about each.
//!
//! A [`world::World`] is a pair of network namespaces (nginx in `ng`, origins in `up`, a router between them on
//! request), an nginx with a configuration of its own and origins that misbehave by script. A scenario provokes one
//! fault, checks by nginx's status and error.log that the fault is what it says, and then what the tool saw.
#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a check complains to the lab by itself; its value only serves to ask more"
)]

pub mod cgroup;
pub mod client;
pub mod container;
pub mod firewall;
pub mod kernel;
pub mod lab;
pub mod limits;
pub mod netns;
pub mod nginx;
pub mod origin;
pub mod pace;
pub mod policy;
mod report;
pub mod results;
pub mod rights;
pub mod seen;
pub mod service;
pub mod table;
pub mod tool;
pub mod topology;
pub mod trace;
pub mod util;
pub mod wire;
pub mod world;

pub use lab::expect::Confidence::{Likely, Possible, Proven};
pub use lab::{Lab, Mode, Scenario, expect};
pub use world::{World, software};
