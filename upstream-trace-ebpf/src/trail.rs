//! The trail of a record: what happened to the attempt, in order of time.

use core::arch::asm;

use upstream_trace_common::{Record, Step, StepKind, TRAIL};

/// An index into the trail. The compiler knows that it is small and would drop a mask that the verifier needs, so
/// the mask is an instruction that it cannot see.
#[inline(always)]
fn index(index: usize) -> usize {
    const _: () = assert!(TRAIL == 16);
    let mut index = index;
    // SAFETY: one arithmetic instruction on a register.
    unsafe { asm!("{0} &= 15", inout(reg) index) };
    index
}

/// Appends to the trail; the same step again only counts.
#[inline(always)]
pub fn note(record: *mut Record, kind: StepKind, at_ns: u64, arg: i32) {
    // SAFETY: callers pass a map value.
    unsafe {
        let trail = (&raw mut (*record).trail).cast::<Step>();
        let len = (*record).trail_len as usize;
        if len > 0 {
            let last = trail.add(index(len - 1));
            if (*last).kind == kind as u8 {
                (*last).count = (*last).count.saturating_add(1);
                (*last).span_ms = (at_ns.wrapping_sub((*last).at_ns) / 1_000_000).min(0xffff) as u16;
                return;
            }
        }
        if len < TRAIL {
            *trail.add(index(len)) = Step { at_ns, arg, kind: kind as u8, count: 1, span_ms: 0 };
            (*record).trail_len = len as u8 + 1;
        } else {
            (*record).trail_lost = (*record).trail_lost.saturating_add(1);
        }
    }
}

/// The last step turned out to be another.
#[inline(always)]
pub fn rename_last(record: *mut Record, from: StepKind, to: StepKind) {
    // SAFETY: callers pass a map value.
    unsafe {
        let len = (*record).trail_len as usize;
        let trail = (&raw mut (*record).trail).cast::<Step>();
        let last = trail.add(index(len.wrapping_sub(1)));
        if len > 0 && (*last).kind == from as u8 {
            (*last).kind = to as u8;
        }
    }
}
