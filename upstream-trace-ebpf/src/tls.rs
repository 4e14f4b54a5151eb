//! The TLS handshake with an upstream, told from the kinds of the records: what nginx sends and reads before its first
//! application data is no request and no answer.

use upstream_trace_common::{Record, StepKind, flags};

use crate::payload;
use crate::record::{note, rename_last};

const CHANGE_CIPHER_SPEC: u8 = 0x14;
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;
const APPLICATION: u8 = 0x17;
const CLIENT_HELLO: u8 = 1;

/// nginx sent bytes on a connection that has carried no request yet. Whether they belong to a TLS handshake.
///
/// # Safety
/// `record` is a map value.
#[inline(never)]
pub unsafe fn sent(record: *mut Record, now: u64, bytes: i32) -> bool {
    // SAFETY: by contract.
    unsafe {
        let first = payload::first::<7>();
        if (*record).flags & flags::TLS_HANDSHAKE == 0 {
            let hello = first[0] == HANDSHAKE && first[1] == 3 && first[5] == CLIENT_HELLO && bytes > 5;
            if hello {
                (*record).flags |= flags::TLS | flags::TLS_HANDSHAKE | flags::OUTSTANDING;
                (*record).request_ns = now;
                note(record, StepKind::TlsHello, now, bytes);
            }
            return hello;
        }
        match first[0] {
            CHANGE_CIPHER_SPEC | HANDSHAKE => (*record).flags |= flags::OUTSTANDING,
            _ if payload::is_alert(bytes) => {
                let clear = first[0] == ALERT && bytes == 7;
                note(record, StepKind::TlsRefused, now, if clear { i32::from(first[6]) } else { -1 });
            }
            _ => {
                (*record).flags &= !(flags::TLS_HANDSHAKE | flags::OUTSTANDING);
                note(record, StepKind::TlsDone, now, 0);
                return false;
            }
        }
        true
    }
}

/// A TLS 1.3 server sends session tickets when it has the client's last handshake message, mostly two of one size, in
/// one read or in two: they come before the answer, and are none. Whether these bytes are the last of them; what the
/// first was taken for is taken back.
///
/// # Safety
/// `record` is a map value.
#[inline(never)]
pub unsafe fn tickets(record: *mut Record, now: u64, bytes: i32) -> bool {
    const SMALLEST: u32 = 64;
    const SOON_NS: u64 = 100_000_000;
    // SAFETY: by contract.
    unsafe {
        let size = payload::record_size();
        if size < SMALLEST || now.wrapping_sub((*record).request_ns) > SOON_NS {
            return false;
        }
        if (*record).first_recv_ns == 0 {
            let pair = payload::is_pair(bytes, size);
            if pair {
                note(record, StepKind::TlsAnswer, now, bytes);
            }
            return pair;
        }
        if size != bytes as u32 {
            return false;
        }
        (*record).first_recv_ns = 0;
        (*record).app_received = 0;
        (*record).flags |= flags::OUTSTANDING;
        rename_last(record, StepKind::Response, StepKind::TlsAnswer);
        true
    }
}

/// Bytes came in during the handshake.
///
/// # Safety
/// `record` is a map value.
#[inline(never)]
pub unsafe fn received(record: *mut Record, now: u64, bytes: i32) -> u32 {
    // SAFETY: by contract.
    unsafe {
        let earlier = (*record).app_received;
        payload::head(&mut (*record).head, bytes);
        let [kind, major, ..] = (*record).head;
        if kind == ALERT && major == 3 {
            note(record, StepKind::TlsAlert, now, i32::from((*record).head[6]));
            return 0;
        }
        note(record, StepKind::TlsAnswer, now, bytes);
        // Only the very first bytes tell whether it is TLS: later ones may be the rest of a record.
        if earlier != 0 || (CHANGE_CIPHER_SPEC..=APPLICATION).contains(&kind) {
            (*record).head = [0; upstream_trace_common::HEAD];
        }
        0
    }
}
