//! Finding a socket's record. A connection that was open before the start has none: its record is adopted, from what
//! user space saw of the connection, when something first happens to the socket.

use upstream_trace_common::{AdoptKey, AdoptState, Record, flags, stats};

use crate::config::offset;
use crate::maps::{ADOPTABLE, ADOPTABLE_LEFT};
use crate::{birth, counters, emit, kernel, records, retry};

/// The record of this socket, adopted if need be.
#[inline(always)]
pub fn find(sk: u64) -> Option<*mut Record> {
    match records::find(sk) {
        Some(record) => Some(record),
        None if ADOPTABLE_LEFT.get(0).is_some_and(|left| *left != 0) => adopt(sk),
        None => None,
    }
}

/// Adopts this socket, if it is one that user space saw.
#[inline(never)]
fn adopt(sk: u64) -> Option<*mut Record> {
    let head = kernel::head(sk);
    if !head.is_internet() {
        return None;
    }
    let mut key = AdoptKey { netns: kernel::netns(sk), ..AdoptKey::default() };
    kernel::local(sk, &head, &mut key.local);
    kernel::remote(sk, &head, &mut key.remote);
    // SAFETY: written by user space before the programs are attached and only removed afterwards.
    let state: AdoptState = *unsafe { ADOPTABLE.get(&key) }?;
    // Whoever removes the entry owns the adoption: two CPUs may come here at once.
    ADOPTABLE.remove(&key).ok()?;
    if let Some(left) = ADOPTABLE_LEFT.get_ptr_mut(0) {
        // SAFETY: a plain counter; a lost update only costs lookups.
        unsafe { *left = (*left).saturating_sub(1) };
    }
    emit::count(stats::ADOPTED, 1);
    create(sk, &key, &state)
}

/// A record for a connection that was open before the start.
#[inline(always)]
fn create(sk: u64, key: &AdoptKey, state: &AdoptState) -> Option<*mut Record> {
    let now = emit::now();
    let record = birth::create_fresh(sk, &key.remote, now)?;
    // SAFETY: a map value.
    unsafe {
        (*record).id = state.id;
        (*record).born_ns = state.born_ns;
        (*record).local = key.local;
        (*record).netns = key.netns;
        (*record).tgid = state.tgid;
        (*record).requests = 1;
        (*record).request_ns = state.request_ns;
        (*record).last_recv_ns = state.last_recv_ns;
        (*record).flags = flags::ADOPTED;
        if state.announced != 0 {
            (*record).flags |= flags::TROUBLE_SENT;
        }
        if kernel::state(sk) != kernel::TCP_SYN_SENT {
            (*record).flags |= flags::ESTABLISHED;
            (*record).established_ns = state.born_ns;
            if let Some(counters) = counters::get(&(*record).remote) {
                counters::add(&raw mut (*counters).established);
            }
        }
        if (*record).flags & flags::ESTABLISHED == 0 {
            (*record).requests = 0;
        } else if state.request_ns != 0 && unchanged(sk, state) {
            (*record).flags |= flags::OUTSTANDING;
        } else {
            (*record).request_ns = 0;
            (*record).first_recv_ns = now;
            (*record).last_recv_ns = now;
            retry::retract_trouble(record, now);
        }
    }
    Some(record)
}

/// Whether nothing but a FIN came and nothing was written since user space looked: only then is what it saw still so.
#[inline(always)]
fn unchanged(sk: u64, state: &AdoptState) -> bool {
    let acked: u64 = kernel::read(sk, offset!(bytes_acked)).unwrap_or(0);
    let received: u64 = kernel::read(sk, offset!(bytes_received)).unwrap_or(0);
    acked + u64::from(kernel::unacked(sk)) == state.written && received.wrapping_sub(state.received) <= 1
}
