//! Bytes that nginx sends and that begin no request: frames of HTTP/2 that it answers the origin's with.

use upstream_trace_common::{Record, flags, http2, tls};

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
