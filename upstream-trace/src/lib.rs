//! The parts of the program that look at the host: nginx's processes, their sockets, and the network around them.

pub mod cli;
pub mod doctor;
pub mod errorlog;
pub mod firewall;
pub mod host;
pub mod kernel;
pub mod live;
pub mod netcontext;
pub mod netlink;
pub mod nginx;
pub mod output;
