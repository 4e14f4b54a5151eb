//! Unix connections whose birth no hook saw: taken over at what nginx first sends.
//!
//! Where the kernel allows neither fentry nor kprobes, the hooks that see births are on system calls, which slows every
//! system call of the host. So they stay away as long as error.log tells which connections could not be made.

use core::arch::asm;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use upstream_trace_common::{ABSENT, Addr, End, EventKind, FdKey, Record, StepKind, UNIX_PATH, flags, stats};

use crate::config::offset;
use crate::connect::{EMPTY_PATH, PathBuffer, SOCK_STREAM, number_of};
use crate::kernel::{self, read};
use crate::maps::{ANY_FDLESS, UNIX_FDS};
use crate::record::{self, note};
use crate::{birth, emit, finish, payload};

/// A record for a connected socket of a worker, if it goes to an upstream: a client's socket has the name that nginx
/// listens on, one end of a pair has a peer without a name.
#[inline(never)]
pub fn first_sent(sk: u64, tgid: u32) -> Option<*mut Record> {
    let worker = record::serving(tgid)?;
    let peer: u64 = read(sk, offset!(unix_peer))?;
    let socket: u64 = read(sk, offset!(sk_socket))?;
    let kind: u16 = read(socket, offset!(socket_type))?;
    let number: u64 = read(socket, offset!(socket_inode)).unwrap_or(0);
    if read::<u64>(sk, offset!(unix_addr))? != 0 || kind != SOCK_STREAM {
        return None;
    }
    let mut buffer = EMPTY_PATH;
    name_of(peer, &mut buffer)?;
    let now = emit::now();
    let path_id = number_of(&buffer.path, now);
    emit::count(stats::ATTEMPTS, 1);
    let record = birth::create_fresh(sk, &Addr::of_path(path_id), now)?;
    // SAFETY: a map value.
    unsafe {
        (*record).tgid = tgid;
        (*record).path_id = path_id;
        (*record).netns = record::netns(worker, sk);
        (*record).flags = flags::UNIX | flags::ESTABLISHED;
        (*record).established_ns = now;
        (*record).tcp.bytes_sent = number;
        remember_descriptor(sk, record, tgid);
        note(record, StepKind::Established, now, 0);
        birth::take_client(record, worker, now);
        if let Some(counters) = record::counters(&*record) {
            record::add(&raw mut (*counters).established);
            (*counters).last_established_ns = now;
        }
    }
    Some(record)
}

/// Makes `close()` find the record, by the descriptor that nginx is sending through just now.
#[inline(always)]
fn remember_descriptor(sk: u64, record: *mut Record, tgid: u32) {
    let fd = payload::descriptor();
    // Calls may come that have something else in that place.
    if kernel::socket_of_fd(fd).0 == sk && UNIX_FDS.insert(FdKey { tgid, fd }, sk, 0).is_ok() {
        // SAFETY: a map value.
        unsafe { (*record).fd = fd };
    } else if let Some(any) = ANY_FDLESS.get_ptr_mut(0) {
        // SAFETY: a map value.
        unsafe { *any = 1 };
    }
}

/// Whether the socket is another one than that of the record, which used the same memory; the record is settled then.
#[inline(always)]
pub fn is_replaced(sk: u64, record: *mut Record) -> bool {
    // SAFETY: a map value.
    unsafe {
        let number = (*record).tcp.bytes_sent;
        if (*record).flags & flags::UNIX == 0 || number == 0 || number == number_of_socket(sk) {
            return false;
        }
    }
    settle(sk, record);
    true
}

#[inline(never)]
fn settle(sk: u64, record: *mut Record) -> u32 {
    // SAFETY: a map value.
    let sum = unsafe {
        finish::forget_descriptor(record);
        if (*record).flags & flags::OUTSTANDING == 0 {
            stats::HEALTHY
        } else {
            (*record).end = End::Vanished as u8;
            let sent = emit::record(record, EventKind::End as u32, emit::now());
            if sent { stats::REPORTED } else { stats::LOST_RING }
        }
    };
    finish::remove_and_count(sk, sum);
    0
}

/// What tells one unix socket from the next in the same memory; kept where a TCP socket's bytes are.
#[inline(always)]
fn number_of_socket(sk: u64) -> u64 {
    read::<u64>(sk, offset!(sk_socket)).and_then(|socket| read(socket, offset!(socket_inode))).unwrap_or(0)
}

/// The name that this socket is bound to, as whoever bound it wrote it.
#[inline(always)]
fn name_of(sk: u64, to: &mut PathBuffer) -> Option<()> {
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
