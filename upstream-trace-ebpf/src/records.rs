//! The table of flight records, behind a small one that tells in a nanosecond that a socket has none.
//!
//! Most sockets of a host are not nginx's, and most events of those that are come after the record is gone. A lookup in
//! the table of records is a call that misses the cache twice. The small table counts the records by a few bits of their
//! sockets' addresses; it fits into the first cache of a processor.

use core::arch::asm;

use upstream_trace_common::{RECORD_PLACES, Record};

use crate::maps::{PRESENT, RECORDS};

/// What a new record is copied from.
static EMPTY: Record = Record::ZERO;

/// The record of this socket.
#[inline(always)]
pub fn find(sk: u64) -> Option<*mut Record> {
    if is_surely_absent(sk) { None } else { RECORDS.get_ptr_mut(sk) }
}

/// Gives this socket an empty record; `None` if the table is full.
#[inline(always)]
pub fn insert(sk: u64) -> Option<*mut Record> {
    add(sk, 1);
    if RECORDS.insert(sk, &EMPTY, 0).is_err() {
        add(sk, -1);
        return None;
    }
    RECORDS.get_ptr_mut(sk)
}

/// Removes the record of this socket; false if it has none, or somebody else was faster.
#[inline(always)]
pub fn remove(sk: u64) -> bool {
    let removed = RECORDS.remove(sk).is_ok();
    if removed {
        add(sk, -1);
    }
    removed
}

/// Whether no record is at this socket's place. User space, which removes some, leaves its place counted: that costs
/// lookups, and nothing else.
#[inline(always)]
fn is_surely_absent(sk: u64) -> bool {
    // SAFETY: a map value; another CPU may change it, but not for this socket.
    place(sk).is_some_and(|count| unsafe { count.read_volatile() } == 0)
}

#[inline(always)]
fn add(sk: u64, by: i64) {
    if let Some(count) = place(sk) {
        // SAFETY: an aligned part of a map value, shared between CPUs, hence atomic.
        unsafe { asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) count, in(reg) by) }
    }
}

/// The count at the place of a socket. Sockets lie at least 64 bytes apart.
#[inline(always)]
fn place(sk: u64) -> Option<*mut u32> {
    const _: () = assert!(RECORD_PLACES == 1 << 12);
    let counts = PRESENT.get_ptr_mut(0)?.cast::<u32>();
    let mut place = (((sk >> 6) as u32).wrapping_mul(0x9e37_79b1) >> 20) as usize;
    // The compiler knows that it is small and would drop a mask that the verifier needs.
    // SAFETY: one arithmetic instruction on a register.
    unsafe { asm!("{0} &= 4095", inout(reg) place) };
    // SAFETY: below RECORD_PLACES.
    Some(unsafe { counts.add(place) })
}
