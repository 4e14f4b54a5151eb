//! nginx as the host sees it: its processes and the sockets that they hold.

mod find;
mod sockets;
mod stuck;

pub use find::{FindError, Found, Role, find, role_of};
pub(crate) use sockets::socket_inode;
pub use sockets::{
    OpenSocket, SocketKind, SocketRole, listening_ports, open_sockets, open_sockets_of, seeds,
};
pub use stuck::stuck;
