//! The parts of the program that look at the host: nginx's processes, their sockets, and the network around them.

pub mod cli;
pub mod doctor;
pub mod enrich;
pub mod explain;
pub mod kernel;
pub mod live;
pub mod logs;
pub mod netlink;
pub mod netns;
pub mod nginx;
pub mod output;
pub mod recording;
pub mod report;
pub mod ruleset;
