//! The alphabets that the kernel speaks, one table each: what an entry supports, or why it is harmless. A test
//! enumerates each against the names of real kernels, so that nothing falls through unseen; a name that is in no table
//! is told as it is.

mod drop_reasons;
mod errnos;
mod error_queue;
mod neighbours;
mod reset_reasons;
mod routes;

pub use drop_reasons::{DropReason, drop_reason, worth_noting};
pub use errnos::{CONNECT_TCP, CONNECT_UNIX, CONNECTED_TCP, CONNECTING_TCP};
pub use error_queue::{ErrorOrigin, UNREACHABLE4, UNREACHABLE6, error_origin};
pub use neighbours::{NeighbourState, neighbour_name, neighbour_state};
pub use reset_reasons::{ResetReason, reset_reason};
pub use routes::{ROUTE_ERRNOS, RouteKind, route_kind};
