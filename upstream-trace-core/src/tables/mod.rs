//! The alphabets that the kernel speaks, one table each: what an entry supports, or why it is harmless. A test
//! enumerates each against the names of real kernels, so that nothing falls through unseen; a name that is in no table
//! is told as it is.

mod drop_reasons;
mod errnos;
mod reset_reasons;

pub use drop_reasons::{DropReason, drop_reason, worth_noting};
pub use errnos::{CONNECT_TCP, CONNECT_UNIX, CONNECTED_TCP, CONNECTING_TCP};
pub use reset_reasons::{ResetReason, reset_reason};
