//! What nginx's resolver asks name servers, and what it hears from them. No hook of its own: `sock_send_length` and
//! `sock_recv_length` come here with a worker's sockets that are neither a client's nor an upstream's.
//!
//! A server is known by the first question sent to it, which has the form that only a resolver's has: a hash lookup
//! tells its sockets from others afterwards. What the messages mean is worked out in user space.

use upstream_trace_common::{Addr, DNS_PAYLOAD, DnsMessage, EventKind, Worker};

use crate::config::offset;
use crate::kernel;
use crate::maps::{RESOLVERS, RESOLVING};
use crate::{emit, payload, record};

const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;

/// nginx reads what a client asks and looks the name up in one turn of its event loop.
const TURN_NS: u64 = 2_000_000;

/// Bytes 2 to 11 of a question as nginx sends it: recursion wanted, one question, nothing else.
const QUESTION: [u8; 10] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// A worker sent to, or received from, a socket that may be a name server's; `result` is bytes or a negative errno.
#[inline(never)]
pub fn exchanged(sk: u64, tgid: u32, result: i32, sent: u32) -> u32 {
    let head = kernel::head(sk);
    if result == crate::io::EAGAIN || !head.is_internet() {
        return 0;
    }
    let kind: u16 = kernel::read(sk, offset!(sk_type)).unwrap_or(0);
    let Some(worker) = record::serving(tgid) else { return 0 };
    let mut server = Addr::default();
    kernel::remote(sk, &head, &mut server);
    if server.port == 0 || (kind != SOCK_DGRAM && kind != SOCK_STREAM) {
        return 0;
    }
    let mut how = if kind == SOCK_STREAM { DnsMessage::TCP } else { 0 };
    if sent != 0 {
        how |= DnsMessage::SENT;
    }
    if !is_resolver(&server) {
        if how != DnsMessage::SENT || !is_question() {
            return 0;
        }
        remember(&server);
    }
    if asked_lately(worker) {
        how |= DnsMessage::FOR_CLIENT;
    }
    tell(sk, tgid, result, &server, how);
    0
}

/// Whether nginx was seen to ask this name server.
#[inline(always)]
pub fn is_resolver(server: &Addr) -> bool {
    // SAFETY: a plain copy of the value.
    RESOLVING.get(0).is_some_and(|any| *any != 0) && unsafe { RESOLVERS.get(server) }.is_some()
}

fn remember(server: &Addr) {
    let _ = RESOLVERS.insert(server, &1, 0);
    if let Some(any) = RESOLVING.get_ptr_mut(0) {
        // SAFETY: a map value.
        unsafe { *any = 1 };
    }
}

#[inline(always)]
fn is_question() -> bool {
    let first = payload::first::<12>();
    let mut rest = [0; 10];
    rest.copy_from_slice(&first[2..]);
    rest == QUESTION
}

#[inline(always)]
fn asked_lately(worker: *mut Worker) -> bool {
    // SAFETY: a map value.
    emit::now().wrapping_sub(unsafe { (*worker).client_ns }) < TURN_NS
}

fn tell(sk: u64, tgid: u32, result: i32, server: &Addr, how: u16) {
    const MOST: u64 = DNS_PAYLOAD as u64 - 1;
    let size = if result >= 0 {
        result as u64
    } else if how & DnsMessage::SENT != 0 {
        payload::length()
    } else {
        0
    };
    // The mask shows the verifier that it fits.
    let len = (if size > MOST { MOST } else { size }) & MOST;
    emit::event::<DnsMessage>(EventKind::Dns, tgid, emit::now(), |event| {
        // SAFETY: reserved memory of that type, with room for DNS_PAYLOAD bytes.
        unsafe {
            (*event).sk = sk;
            (*event).netns = kernel::netns(sk);
            (*event).result = result;
            (*event).server = *server;
            (*event).how = how;
            let read = payload::copy((&raw mut (*event).payload).cast(), len as u32, 0);
            (*event).len = if read { len as u16 } else { 0 };
        }
    });
}
