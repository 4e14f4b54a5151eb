//! Bytes that begin no request and no response: frames of HTTP/2 that say something of the connection.

use upstream_trace_common::{HEAD, Record, flags, http2, tls};

use crate::payload;

/// Whether the `len` bytes that were just sent, on a connection that has carried a request, are such.
///
/// # Safety
/// `record` is a map value.
#[inline(always)]
pub unsafe fn is_control(record: *mut Record, len: i32) -> bool {
    // SAFETY: by contract.
    let (used, is_tls) = unsafe { ((*record).requests > 0, (*record).flags & flags::TLS != 0) };
    if !used {
        return false;
    }
    if is_tls {
        return http2::is_short_record(tls::record_size(&payload::first()), len);
    }
    http2::is_control(&payload::first_of_vector(len), len)
}

/// Whether the `len` bytes that were just received in the clear are frames of the connection only: they answer no request.
/// `head` holds their begin.
#[inline(always)]
pub fn answers_nothing(head: &[u8; HEAD], len: i32) -> bool {
    // Text begins with no zero: what is not HTTP/2 costs one comparison.
    head[0] == 0 && only_control(len) == 1
}

/// 1 if they are.
#[inline(never)]
fn only_control(len: i32) -> u32 {
    let len = len as u32;
    let mut at = 0;
    for _ in 0..http2::FRAMES {
        let mut first = [0; http2::FRAME_HEADER];
        // SAFETY: as long as a frame's header.
        let there = unsafe { payload::copy(first.as_mut_ptr(), http2::FRAME_HEADER as u32, u64::from(at)) };
        let size = http2::control_size(&first);
        if !there || size == 0 {
            return 0;
        }
        at += size;
        if at >= len {
            return u32::from(at == len);
        }
    }
    0
}
