//! The table of flight records, behind a small one that tells in a nanosecond that a socket has none.
//!
//! Most sockets of a host are not nginx's, and most events of those that are come after the record is gone. A lookup in
//! the table of records is a call that misses the cache twice. The small table counts the records by a few bits of their
//! sockets' addresses; it fits into the first cache of a processor.

use core::arch::asm;
use core::cell::UnsafeCell;

use upstream_trace_common::Record;

use crate::maps::RECORDS;

/// A power of two.
const PLACES: usize = 4096;

/// How many records there are, by a few bits of the address of their socket. A static, not a map, since that needs neither
/// a lookup nor a key on the stack.
struct Counts(UnsafeCell<[u32; PLACES]>);

// SAFETY: read as a whole number and changed by atomic instructions only.
unsafe impl Sync for Counts {}

/// See [`Counts`].
// Names of variables get to BTF; mangled they would depend on the folder of the source.
#[unsafe(no_mangle)]
static PRESENT: Counts = Counts(UnsafeCell::new([0; PLACES]));

/// What a new record is copied from.
#[unsafe(no_mangle)]
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
    // SAFETY: another CPU may change it, but not for this socket.
    unsafe { place(sk).read_volatile() == 0 }
}

/// Counts one record more, or one less, at the place of a socket.
#[inline(always)]
fn add(sk: u64, by: i64) {
    // SAFETY: an aligned part of the table, shared between CPUs, hence atomic.
    unsafe { asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) place(sk), in(reg) by) }
}

/// The count at the place of a socket. Sockets lie at least 64 bytes apart.
#[inline(always)]
fn place(sk: u64) -> *mut u32 {
    const _: () = assert!(PLACES == 1 << 12);
    let low: u64;
    // In programs on functions the verifier knows that this is a pointer, and refuses to calculate with it; its lower half
    // is a number.
    // SAFETY: copies a register.
    unsafe { asm!("w0 = w1", in("r1") sk, out("r0") low, options(pure, nomem)) };
    let mut place = (((low >> 6) as u32).wrapping_mul(0x9e37_79b1) >> 20) as usize;
    // The compiler knows that it is small and would drop a mask that the verifier needs.
    // SAFETY: one arithmetic instruction on a register.
    unsafe { asm!("{0} &= 4095", inout(reg) place) };
    // SAFETY: below PLACES.
    unsafe { PRESENT.0.get().cast::<u32>().add(place) }
}
