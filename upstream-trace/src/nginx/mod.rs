//! nginx as the host sees it: its processes and the sockets that they hold.

mod adopt;
mod binary;
mod classify;
pub mod config;
mod find;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod process;
mod reach;
mod sockets;
mod target;
mod version;
mod watch;
mod wordsize;

pub(crate) use adopt::numbers;
pub use adopt::{seeds, stuck};
pub use config::read as read_config;
use find::list;
pub use find::{FindError, Found, LeftOut, Master, WhyLeftOut, find};
pub use process::{Role, parent_of, role_of};
pub use reach::{Unreachable, reach};
pub use sockets::{OpenSocket, SocketKind, SocketRole, listening_ports, open_sockets, open_sockets_of};
pub use target::Target;
pub use version::versions;
pub use watch::{WatchTable, WatchedNginx, exit_status};
