//! What user space sets before load. The map that holds these is frozen, so the verifier folds them into constants
//! and removes the code that they switch off.

use upstream_trace_common::{DROP_BITS, DROP_PLACES, DropPlace, Offsets, RING_BYTES, drop_bit};

/// Offsets of the running kernel.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::ABSENT;

/// Bit n is set if the drop reason with this place ([`drop_bit`]) is of interest.
#[unsafe(no_mangle)]
static DROP_REASONS: [u64; 4] = [0; 4];

/// Where the numbers of reasons of queueing disciplines begin; 0 if they have no list of their own.
#[unsafe(no_mangle)]
static QUEUEING_REASONS: u32 = 0;

/// Number of `SKB_DROP_REASON_TCP_INVALID_SYN`, or of the reason that a second SYN-ACK gets; 0 if unknown.
#[unsafe(no_mangle)]
static REASON_INVALID_SYN: u32 = 0;

/// `kfree_skb` has the reason as its third argument.
#[unsafe(no_mangle)]
static KFREE_REASON: u8 = 0;

/// `kfree_skb` has the receiving socket as its fourth argument (6.11).
#[unsafe(no_mangle)]
static KFREE_RX_SK: u8 = 0;

/// `tcp_retransmit_skb` has the errno of the attempt as its third argument (6.17).
#[unsafe(no_mangle)]
static RETRANSMIT_ERR: u8 = 0;

/// `tcp_send_reset` has the reason as its third argument (6.10).
#[unsafe(no_mangle)]
static RESET_REASON: u8 = 0;

/// The helpers that give a process's registers are there (5.15).
#[unsafe(no_mangle)]
static TASK_REGISTERS: u8 = 0;

/// A process may lose its processor in the middle of a tracepoint (7.0).
#[unsafe(no_mangle)]
static PREEMPTS: u8 = 0;

/// Where on a process's kernel stack those registers are, for kernels without these helpers; 0 if that is not known.
#[unsafe(no_mangle)]
static REGISTERS_AT: u64 = 0;

/// Where packets are dropped for a known reason; for kernels before 5.17, whose `kfree_skb` has no reason.
#[unsafe(no_mangle)]
static PLACES: [DropPlace; DROP_PLACES] = [DropPlace { begin: 0, end: 0, reason: 0 }; DROP_PLACES];

/// `tcp_recvmsg` has six arguments, not five (before 5.19): what is a flag of its own later is an argument there.
#[unsafe(no_mangle)]
static RECVMSG_NONBLOCK: u8 = 0;

/// Bytes in the ring buffer above which user space is woken: a quarter of its size.
#[unsafe(no_mangle)]
static WAKEUP_BYTES: u64 = RING_BYTES as u64 / 4;

/// Fingerprint of the declarations that this object was built with; the build of the program compares it with its own.
#[unsafe(no_mangle)]
#[used]
static ABI: u64 = upstream_trace_common::ABI;

/// A function that reads one of the statics above.
macro_rules! global {
    ($name:ident, $of:ident, $t:ty) => {
        #[doc = concat!("The value of [`", stringify!($of), "`].")]
        #[inline(always)]
        pub fn $name() -> $t {
            // SAFETY: a valid static; volatile because user space replaces its value in the object before load.
            unsafe { core::ptr::read_volatile(&raw const $of) }
        }
    };
}

global!(queueing_reasons, QUEUEING_REASONS, u32);
global!(reason_invalid_syn, REASON_INVALID_SYN, u32);
global!(kfree_reason, KFREE_REASON, u8);
global!(kfree_rx_sk, KFREE_RX_SK, u8);
global!(retransmit_err, RETRANSMIT_ERR, u8);
global!(reset_reason, RESET_REASON, u8);
global!(task_registers, TASK_REGISTERS, u8);
global!(preempts, PREEMPTS, u8);
global!(registers_at, REGISTERS_AT, u64);
global!(recvmsg_nonblock, RECVMSG_NONBLOCK, u8);
global!(wakeup_bytes, WAKEUP_BYTES, u64);

/// The reason for a drop at this place; 0 if it is none of interest.
#[inline(always)]
pub fn reason_of_place(location: u64) -> u32 {
    let places = (&raw const PLACES).cast::<DropPlace>();
    let mut reason = 0;
    let mut index = 0;
    while index < DROP_PLACES {
        // SAFETY: an index into a valid static array; volatile as above.
        let place = unsafe { core::ptr::read_volatile(places.add(index)) };
        if location >= place.begin && location < place.end {
            reason = place.reason as u32;
        }
        index += 1;
    }
    reason
}

/// Whether drops for this reason are noted.
#[inline(always)]
pub fn drop_of_interest(reason: u32) -> bool {
    let bit = drop_bit(reason, queueing_reasons());
    if bit >= DROP_BITS {
        return false;
    }
    let mut word = (bit >> 6) as usize;
    // The compiler knows that it is below 4; the verifier of 6.1 does not, and the compiler would drop a mask.
    // SAFETY: one arithmetic instruction on a register.
    unsafe { core::arch::asm!("{0} &= 3", inout(reg) word) };
    // SAFETY: index 0 to 3 of a valid static array; volatile as above.
    let bits = unsafe { core::ptr::read_volatile((&raw const DROP_REASONS).cast::<u64>().add(word)) };
    bits >> (bit & 63) & 1 == 1
}

/// Reads one offset of [`OFFSETS`].
macro_rules! offset {
    ($name:ident) => {{
        // SAFETY: a field of a valid static; volatile because user space replaces its value before load.
        unsafe { core::ptr::read_volatile(&raw const (*$crate::config::offsets()).$name) }
    }};
}
pub(crate) use offset;

/// Address of the offsets, for [`offset!`].
#[inline(always)]
pub const fn offsets() -> *const Offsets {
    &raw const OFFSETS
}
