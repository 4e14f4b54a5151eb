//! The TLS handshake with an upstream, recognised by the content types of its records: what nginx sends and receives
//! before its first application data is no request and no response.

use upstream_trace_common::tls::{self, HandshakeReceived, HandshakeSent};
use upstream_trace_common::{HEAD, Record, StepKind, flags};

use crate::payload;
use crate::trail::{note, rename_last};

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
            let hello = tls::is_client_hello(&first, bytes);
            if hello {
                (*record).flags |= flags::TLS | flags::TLS_HANDSHAKE | flags::OUTSTANDING;
                (*record).request_ns = now;
                note(record, StepKind::TlsHello, now, bytes);
            }
            return hello;
        }
        match tls::handshake_sent(&first, bytes) {
            HandshakeSent::Handshake => (*record).flags |= flags::OUTSTANDING,
            HandshakeSent::Alert(description) => note(record, StepKind::TlsRefused, now, description),
            HandshakeSent::Data => {
                (*record).flags &= !(flags::TLS_HANDSHAKE | flags::OUTSTANDING);
                note(record, StepKind::TlsDone, now, 0);
                return false;
            }
        }
        true
    }
}

/// A TLS 1.3 server sends session tickets when it has the client's last handshake message, mostly two of one size, in
/// one read or in two: they come before the response and are no part of it. Whether these bytes are the last of them;
/// if the first was noted as the start of a response, that is undone.
///
/// # Safety
/// `record` is a map value.
#[inline(never)]
pub unsafe fn tickets(record: *mut Record, now: u64, bytes: i32) -> bool {
    // SAFETY: by contract.
    unsafe {
        let size = tls::record_size(&payload::first());
        if !tls::may_be_ticket(size, now.wrapping_sub((*record).request_ns)) {
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
        payload::head(&mut (*record).head, bytes);
        let kind = tls::handshake_received(&(*record).head, (*record).app_received);
        if let HandshakeReceived::Alert(description) = kind {
            note(record, StepKind::TlsAlert, now, i32::from(description));
            return 0;
        }
        note(record, StepKind::TlsAnswer, now, bytes);
        if kind == HandshakeReceived::Handshake {
            (*record).head = [0; HEAD];
        }
        0
    }
}
