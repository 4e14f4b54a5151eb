//! The bytes that a watched process has just sent or received, read from its own memory: `sock_send_length` and
//! `sock_recv_length` fire inside the system call, whose second argument is the buffer (`read`, `write`, `recvfrom`,
//! `sendto`). For calls that pass a vector the bytes found there are addresses, which look like nothing that is looked
//! for here.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_user, bpf_task_pt_regs,
};
use upstream_trace_common::{HEAD, Registers, tls};

use crate::config::{offset, registers_at, task_registers};
use crate::kernel::read;

/// Address of the registers with which the current process entered the kernel; 0 if it is not known.
#[inline(always)]
fn registers() -> u64 {
    if task_registers() == 0 {
        return registers_on_stack().unwrap_or(0);
    }
    // SAFETY: neither helper (5.11, 5.15) has requirements but a kernel that knows it, as was just checked.
    unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as u64 }
}

/// The same for kernels without that helper, as it does it: `task_pt_regs()` in arch/*/include/asm/processor.h, where
/// neither x86-64 (4.3 to 6.8) nor arm64 leaves padding.
#[inline(always)]
fn registers_on_stack() -> Option<u64> {
    if registers_at() == 0 {
        return None;
    }
    // SAFETY: takes no argument.
    let task = unsafe { bpf_get_current_task() };
    let stack: u64 = read(task, offset!(task_stack))?;
    let registers = stack + registers_at();
    // They are what they were taken for.
    let mode: u64 = read(registers, offset!(regs_mode))?;
    Registers::HERE.of_process(mode).then_some(registers)
}

/// The buffer of the system call under way.
#[inline(always)]
fn buffer() -> Option<u64> {
    read(registers(), offset!(regs_buffer))
}

/// The descriptor that it was called with; -1 if that is not known.
#[inline(always)]
pub fn descriptor() -> i32 {
    read::<u64>(registers(), offset!(regs_descriptor)).map_or(-1, |fd| fd as i32)
}

/// Whether they begin a record of TLS that may come after the handshake.
#[inline(always)]
pub fn is_tls() -> bool {
    let [kind, major, minor] = first::<3>();
    (kind == tls::ALERT || kind == tls::APPLICATION_DATA) && major == 3 && minor <= 4
}

/// Its size.
#[inline(always)]
pub fn length() -> u64 {
    read(registers(), offset!(regs_length)).unwrap_or(0)
}

/// Reads `len` bytes at `skip` of the buffer; `None` if they are not there.
///
/// # Safety
/// `to` has room for `len` bytes.
#[inline(always)]
pub unsafe fn copy(to: *mut u8, len: u32, skip: u64) -> bool {
    let Some(from) = buffer() else { return false };
    // SAFETY: the helper checks `from`, and `to` has the room by contract.
    unsafe { bpf_probe_read_user(to.cast(), len, (from + skip) as *const _) == 0 }
}

/// The first bytes; all zero if they are not there. (Not an `Option`: the compiler leaves what `None` holds undefined,
/// and the verifier refuses that.)
#[inline(always)]
pub fn first<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: as long as N. On failure the helper fills it with zeros.
    unsafe { copy(bytes.as_mut_ptr(), N as u32, 0) };
    bytes
}

/// The first bytes of `len` that were passed as a vector, in its first part; all zero if they are not there.
#[inline(always)]
pub fn first_of_vector<const N: usize>(len: i32) -> [u8; N] {
    let mut bytes = [0; N];
    let [from, size] = [word(0), word(8)];
    if size >= N as u64 && size <= len as u64 {
        // SAFETY: as long as N; the helper checks `from`, and fills it with zeros on failure.
        unsafe { bpf_probe_read_user(bytes.as_mut_ptr().cast(), N as u32, from as *const _) };
    }
    bytes
}

/// Eight bytes of the buffer.
#[inline(always)]
fn word(skip: u64) -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: eight bytes.
    unsafe { copy(bytes.as_mut_ptr(), 8, skip) };
    u64::from_ne_bytes(bytes)
}

/// The first of `received` bytes, filled up with zeros.
#[inline(always)]
pub fn head(to: &mut [u8; HEAD], received: i32) {
    *to = [0; HEAD];
    let len = if received as u32 > HEAD as u32 { HEAD as u32 } else { received as u32 };
    // SAFETY: not longer than `to`.
    unsafe { copy(to.as_mut_ptr(), len, 0) };
}

/// Whether the `len` bytes are nothing but a TLS alert.
#[inline(always)]
pub fn is_alert(len: i32) -> bool {
    tls::is_alert(&first(), len)
}

/// Whether the second half of the `len` bytes is an encrypted TLS record of `size` bytes, as the first half is.
#[inline(always)]
pub fn is_pair(len: i32, size: u32) -> bool {
    let mut second = [0u8; 5];
    // SAFETY: five bytes.
    2 * size == len as u32
        && unsafe { copy(second.as_mut_ptr(), 5, u64::from(size)) }
        && tls::record_size(&second) == size
}
