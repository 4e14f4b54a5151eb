//! What is done with a record wherever it is: reading what the socket knows, and reports of trouble.

use upstream_trace_common::{EventKind, Moment, Record, flags, stats};

use crate::{emit, kernel, under_way};

/// Sends the record at its first sign of trouble; the attempt goes on.
#[inline(always)]
pub fn trouble(sk: u64, record: *mut Record, now: u64) {
    // SAFETY: callers pass a map value.
    unsafe {
        if (*record).flags & flags::TROUBLE_SENT != 0 {
            return;
        }
        (*record).flags |= flags::TROUBLE_SENT;
        under_way::decide(sk, record, Moment::Close, now);
        refresh(sk, record);
    }
    if !emit::record(record, EventKind::Trouble as u32, now) {
        emit::count(stats::LOST_EVENTS, 1);
    }
}

/// Reads into the record which errors the socket has.
#[inline(always)]
pub fn refresh_errors(sk: u64, record: *mut Record) {
    // SAFETY: callers pass a map value.
    let record = unsafe { &mut *record };
    if record.flags & flags::UNIX == 0 {
        kernel::errors(sk, &mut record.tcp);
    }
}

/// Reads into the record what the socket itself knows.
#[inline(never)]
pub fn refresh(sk: u64, record: *mut Record) -> u32 {
    // SAFETY: callers pass a map value.
    let record = unsafe { &mut *record };
    if record.flags & flags::UNIX != 0 {
        return 0;
    }
    kernel::local(sk, &kernel::head(sk), &mut record.local);
    kernel::tcp_numbers(sk, &mut record.tcp);
    // After a reset it is as it was then.
    if record.flags & flags::RESET_RECEIVED == 0 {
        record.tcp.no_room = kernel::no_room(sk);
    }
    if record.tcp.snd_wnd == 0 && record.flags & flags::ESTABLISHED != 0 {
        record.flags |= flags::ZERO_WINDOW;
    }
    0
}
