//! Replies of the kernel over netlink.

use upstream_trace::netlink::fuzz::{SEQUENCE, routes, sockets};

use crate::Target;
use crate::mutate::{self, Rng};

/// Takes a datagram: which family of netlink it is of, and its bytes.
pub(crate) const TARGET: Target = Target { name: "netlink", run, seeds: Vec::new, mutate };

const HEADER: usize = 16;

fn run(bytes: &[u8]) {
    let Some((family, datagram)) = bytes.split_first() else { return };
    match family % 4 {
        0 => drop(routes(datagram)),
        1 => check(datagram, false),
        _ => check(datagram, true),
    }
}

fn check(datagram: &[u8], dump: bool) {
    let Ok((tcp, unix)) = sockets(datagram, dump) else { return };
    assert!(tcp.len() + unix.len() <= datagram.len() / HEADER, "more sockets than messages");
    for socket in &tcp {
        let _ = socket.info.map(|info| info.retransmitting_for_ms(u64::from(socket.rqueue)));
    }
    assert!(unix.iter().map(|socket| socket.waiting.len()).sum::<usize>() <= datagram.len());
}

/// Changes bytes, and then mends lengths and sequence numbers, without which nothing else is looked at.
fn mutate(bytes: &mut Vec<u8>, most: usize, rng: &mut Rng) {
    mutate::bytes(bytes, most, rng);
    let mut at = 1;
    while rng.below(8) > 0 && at + HEADER <= bytes.len() {
        let rest = bytes.len() - at;
        let length = u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let length = if (HEADER..=rest).contains(&length) { length } else { rest };
        bytes[at..at + 4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        bytes[at + 8..at + 12].copy_from_slice(&SEQUENCE.to_ne_bytes());
        at += length.next_multiple_of(4);
    }
}
