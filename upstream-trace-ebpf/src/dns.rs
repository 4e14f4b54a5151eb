//! The messages between nginx's resolver and name servers. No hook of its own: `sock_send_length` and
//! `sock_recv_length` come here with a worker's sockets that are neither a client's nor an upstream's.
//!
//! A name server is known by the first query sent to it, whose header only a resolver sends; afterwards a hash lookup
//! tells its sockets from others. User space decodes the messages.

use upstream_trace_common::{
    Addr, DNS_PAYLOAD, DnsMessage, EVENT_LOOP_NS, EventKind, NameServer, Worker, is_cut_response, is_query,
};

use crate::config::offset;
use crate::kernel::{self, EAGAIN, SOCK_DGRAM, SOCK_STREAM};
use crate::maps::{RESOLVERS, RESOLVING};
use crate::{emit, payload, worker};

/// nginx repeats a query over TCP when the response was truncated.
const PORT: u16 = 53;

/// nginx connects at once, and again after 5 s if that fails. Nanoseconds.
const ASKS_AGAIN: u64 = 30_000_000_000;

/// A worker sent to, or received from, a socket that may be a name server's; `result` is bytes or a negative errno.
#[inline(never)]
pub fn exchanged(sk: u64, tgid: u32, result: i32, sent: u32) -> u32 {
    let head = kernel::head(sk);
    if result == EAGAIN || !head.is_internet() {
        return 0;
    }
    let kind: u16 = kernel::read(sk, offset!(sk_type)).unwrap_or(0);
    let Some(worker) = worker::serving(tgid) else { return 0 };
    let mut server = Addr::default();
    kernel::remote(sk, &head, &mut server);
    if server.port == 0 || (kind != SOCK_DGRAM && kind != SOCK_STREAM) {
        return 0;
    }
    let mut how = if kind == SOCK_STREAM { DnsMessage::TCP } else { 0 };
    if sent != 0 {
        how |= DnsMessage::SENT;
    }
    let key = NameServer { addr: server, netns: worker::netns(worker, sk) };
    match resolver(&key) {
        Some(cut) if how == 0 && is_cut_response(&payload::first()) => {
            // SAFETY: a map value.
            unsafe { *cut = emit::now() };
        }
        // What was asked over TCP follows on a response that was cut.
        Some(cut) if how & DnsMessage::TCP != 0 && server.port != PORT => {
            // SAFETY: as above.
            if unsafe { *cut } == 0 {
                return 0;
            }
        }
        Some(_) => {}
        None if how == DnsMessage::SENT && is_query(&payload::first()) => remember(&key),
        None => return 0,
    }
    if client_just_spoke(worker) {
        how |= DnsMessage::FOR_CLIENT;
    }
    send(sk, tgid, result, &server, how);
    0
}

/// Whether a TCP connection to this address is one of nginx's resolver, whose response over UDP was cut.
#[inline(always)]
pub fn is_name_server(remote: &Addr, netns: u32) -> bool {
    let key = NameServer { addr: *remote, netns };
    remote.port == PORT
        // SAFETY: a map value.
        || resolver(&key).is_some_and(|cut| emit::now().wrapping_sub(unsafe { *cut }) < ASKS_AGAIN)
}

/// A name server that nginx was seen to ask: when its response was last cut.
#[inline(always)]
fn resolver(server: &NameServer) -> Option<*mut u64> {
    if RESOLVING.get(0).is_none_or(|any| *any == 0) {
        return None;
    }
    RESOLVERS.get_ptr_mut(server)
}

/// Knows this name server from now on.
fn remember(server: &NameServer) {
    let _ = RESOLVERS.insert(server, &0, 0);
    if let Some(any) = RESOLVING.get_ptr_mut(0) {
        // SAFETY: a map value.
        unsafe { *any = 1 };
    }
}

/// Whether nginx read from a client in this event-loop iteration: it resolves the name for that client.
#[inline(always)]
fn client_just_spoke(worker: *mut Worker) -> bool {
    // SAFETY: a map value.
    emit::now().wrapping_sub(unsafe { (*worker).client_ns }) < EVENT_LOOP_NS
}

/// Sends the message to user space.
fn send(sk: u64, tgid: u32, result: i32, server: &Addr, how: u16) {
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
