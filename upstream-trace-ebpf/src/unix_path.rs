//! Paths of unix sockets: read from where they are passed or bound, and numbered.

use core::arch::asm;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use upstream_trace_common::{ABSENT, UNIX_PATH, UnixPath};

use crate::config::offset;
use crate::kernel::read;
use crate::maps::UNIX_PATHS;

/// Room for a whole mask's worth of bytes behind the family.
#[repr(C)]
pub struct PathBuffer {
    /// The path.
    pub path: UnixPath,
    /// What a mask of 127 lets through beyond it.
    spare: [u8; 16],
}

/// No path yet.
pub const EMPTY_PATH: PathBuffer =
    PathBuffer { path: UnixPath { bytes: [0; UNIX_PATH], len: 0, pad: 0 }, spare: [0; 16] };

/// The number of a unix path, given at its first use.
#[inline(always)]
pub fn number(path: &UnixPath, now: u64) -> u32 {
    // SAFETY: a plain copy of the value; values never change.
    if let Some(id) = unsafe { UNIX_PATHS.get(path) } {
        return *id;
    }
    // The time in steps of 16 ns: two paths would have to be met in the same step, 68 s apart.
    let id = (now >> 4) as u32 | 1;
    if UNIX_PATHS.insert(path, id, 1).is_err() {
        // SAFETY: as above.
        return unsafe { UNIX_PATHS.get(path) }.copied().unwrap_or(0);
    }
    id
}

/// The name that this socket is bound to, as whoever bound it wrote it.
#[inline(always)]
pub fn bound_name(sk: u64, to: &mut PathBuffer) -> Option<()> {
    let address: u64 = read(sk, offset!(unix_addr))?;
    // The family comes first.
    let len = read::<u32>(address, offset!(unix_name_len))?.checked_sub(2)?;
    if offset!(unix_name) == ABSENT {
        return None;
    }
    let path = (address + u64::from(offset!(unix_name)) + 2) as *const _;
    let bytes = to.path.bytes.as_mut_ptr().cast();
    // SAFETY: the helper checks `path`; `bytes` has room for UNIX_PATH bytes.
    let read = unsafe { bpf_probe_read_kernel_str(bytes, UNIX_PATH as u32, path) };
    if read > 1 {
        to.path.len = read as u16 - 1;
        return Some(());
    }
    // An abstract name begins with NUL.
    let mut len = u64::from(if len > UNIX_PATH as u32 { UNIX_PATH as u32 } else { len });
    // SAFETY: one arithmetic instruction on a register, which the optimizer cannot leave out: by it verifiers (seen on
    // 6.1) know the bound. The buffer has room for what it lets through; the helper checks `path`.
    unsafe {
        asm!("{0} &= 127", inout(reg) len);
        bpf_probe_read_kernel(bytes, len as u32, path)
    };
    to.path.len = len as u16;
    Some(())
}
