//! Whether an attempt was reported as pending.

use upstream_trace_common::{Record, flags};

use crate::maps::{ANNOUNCED, ANY_ANNOUNCED};

/// Whether user space reported the attempt to be stuck.
#[inline(always)]
pub fn is_announced(record: *const Record) -> bool {
    // SAFETY: callers pass a map value; ANNOUNCED holds plain numbers.
    unsafe {
        ANY_ANNOUNCED.get(0).is_some_and(|any| *any != 0)
            && ANNOUNCED.get((*record).sk).copied() == Some((*record).id)
    }
}

/// The attempt is not in trouble any more. Whether it was reported to be, by the kernel side or by user space.
#[inline(always)]
pub fn clear(record: *mut Record) -> bool {
    // SAFETY: callers pass a map value.
    unsafe {
        let mut reported = (*record).flags & flags::TROUBLE_SENT != 0;
        if is_announced(record) {
            let _ = ANNOUNCED.remove((*record).sk);
            reported = true;
        }
        (*record).flags &= !flags::TROUBLE_SENT;
        reported
    }
}
