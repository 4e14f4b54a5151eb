//! Accept queues: who waits there for long, and who just passes through.

use upstream_trace_core::event::Listener;

use crate::netlink::Error;
use crate::netlink::diag::UnixSocket;

/// How many connections wait to be accepted: as many as a first look found, unless a second one finds none. Of an
/// application that is well but busy, one or the other waits for a moment; who waits for long is there at both. A queue that
/// overflowed is told of even if it is empty by now.
pub(super) fn still_waiting(
    first: u32,
    limit: u32,
    second: impl FnOnce() -> Result<Option<u32>, Error>,
) -> Result<u32, Error> {
    if first == 0 || first > limit {
        return Ok(first);
    }
    Ok(if second()? == Some(0) { 0 } else { first })
}

/// A listening unix socket by its inode; `again` looks at it once more.
pub(super) fn unix_listener(
    socket: &UnixSocket,
    again: impl FnOnce() -> Result<Option<UnixSocket>, Error>,
) -> Result<(u32, Listener), Error> {
    let second = || Ok(again()?.filter(|again| again.inode == socket.inode).map(|again| again.rqueue));
    let queue = still_waiting(socket.rqueue, socket.wqueue, second)?;
    Ok((socket.inode, Listener { queue, limit: socket.wqueue, ..Listener::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_at_a_second_look_was_only_passing_through() {
        let queue = |first, second: Option<u32>| still_waiting(first, 128, || Ok(second)).ok();
        assert_eq!(queue(1, Some(0)), Some(0));
        assert_eq!(queue(3, Some(1)), Some(3));
        // It listens no more, or was not found.
        assert_eq!(queue(1, None), Some(1));
        assert_eq!(queue(129, Some(0)), Some(129), "it overflowed");
        assert_eq!(still_waiting(0, 128, || panic!("nobody waits")).ok(), Some(0));
    }
}
