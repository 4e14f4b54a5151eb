//! What is read of a socket at each FIN, in one read where its fields lie close together.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated;
use upstream_trace_common::SocketFacts;

use crate::config::offset;
use crate::kernel::{read, write_seq};

/// What is read.
#[derive(Clone, Copy)]
pub struct Exchange {
    /// One past the last byte that nginx wrote.
    pub write_seq: u32,
    /// Bytes written and not acknowledged.
    pub unacked: u32,
    /// Bytes received, the FIN counted.
    bytes_received: u64,
    /// Segments with data that were sent.
    data_segs_out: u32,
}

impl Exchange {
    /// Whether all that happened is one exchange that is over.
    #[inline(always)]
    pub fn is_one(&self) -> bool {
        SocketFacts::one_exchange(self.unacked, self.bytes_received, self.data_segs_out)
    }
}

/// Enough for what a `tcp_sock` has from `data_segs_out` to `bytes_received`, where these come in that order: up to 224
/// bytes, from 6.8 on.
const EXCHANGE_BYTES: usize = 256;

/// A part of a socket, and where in the socket it begins.
struct Part {
    /// The bytes.
    bytes: MaybeUninit<[u64; EXCHANGE_BYTES / 8]>,
    /// Offset of the first one, a multiple of eight.
    at: u16,
}

impl Part {
    /// Whether a field of so many bytes lies in the part that begins at `at`. Known at load.
    #[inline(always)]
    fn holds(at: u16, offset: u16, width: u16) -> bool {
        offset >= at && offset - at <= EXCHANGE_BYTES as u16 - width
    }

    /// Fills it; all zero if it cannot be read.
    #[inline(always)]
    fn read(&mut self, sk: u64) {
        // SAFETY: the helper writes so many bytes at most, zeros if the address is bad.
        unsafe {
            generated::bpf_probe_read_kernel(
                self.bytes.as_mut_ptr().cast(),
                EXCHANGE_BYTES as u32,
                (sk + u64::from(self.at)) as *const _,
            )
        };
    }

    /// The field at this offset, which lies in it and is aligned as fields are.
    #[inline(always)]
    fn field<T: Copy>(&self, offset: u16) -> T {
        let from = usize::from(offset - self.at);
        // SAFETY: callers have asked `holds`; the verifier, which knows the offsets, checks it as well.
        unsafe { self.bytes.as_ptr().byte_add(from).cast::<T>().read() }
    }
}

/// Reads it.
#[inline(always)]
pub fn of(sk: u64) -> Exchange {
    let at = offset!(data_segs_out) & !7;
    if Part::holds(at, offset!(data_segs_out), 4)
        && Part::holds(at, offset!(write_seq), 4)
        && Part::holds(at, offset!(snd_una), 4)
        && Part::holds(at, offset!(bytes_received), 8)
    {
        let mut part = Part { bytes: MaybeUninit::uninit(), at };
        part.read(sk);
        let write_seq: u32 = part.field(offset!(write_seq));
        return Exchange {
            write_seq,
            unacked: write_seq.wrapping_sub(part.field(offset!(snd_una))),
            bytes_received: part.field(offset!(bytes_received)),
            data_segs_out: part.field(offset!(data_segs_out)),
        };
    }
    let write_seq = write_seq(sk);
    Exchange {
        write_seq,
        unacked: write_seq.wrapping_sub(read(sk, offset!(snd_una)).unwrap_or(write_seq)),
        bytes_received: read(sk, offset!(bytes_received)).unwrap_or(0),
        data_segs_out: read(sk, offset!(data_segs_out)).unwrap_or(0),
    }
}
