//! The host: its processes as `/proc` shows them, files that may be opened, namespaces, and what this process may do.

mod cmdline;
pub mod container;
mod descriptors;
pub(crate) mod memory;
pub mod netns;
mod open;
mod patience;
pub mod privileges;
mod process;
mod walk;
mod watched;
mod workload;

pub use cmdline::CommandLine;
pub use descriptors::{
    Descriptor, descriptor_path, descriptors, first_sockets, holds_socket, is_socket_open, may_look_at,
    socket_inode, sockets,
};
pub use open::{file_below, read_bounded, regular_file, regular_file_below};
pub(crate) use process::age;
pub use process::{Executable, Identity, Stat, children, executable, name, pids, real_uid, started_at, stat};
pub use watched::WatchedPids;
pub use workload::{command, is_in_unit, workload};
