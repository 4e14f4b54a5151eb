//! What `connect()` returned: errors that never reach TCP (no route, no permission, no port), and unix sockets, which
//! have no tracepoints of their own. `fentry.rs` and `kprobe.rs` call this where the kernel lets us watch functions,
//! `syscalls.rs` where it does not.

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
};
use upstream_trace_common::{
    Addr, ConnectFailed, EventKind, FdKey, InflightConnect, UNIX_PATH, UnixPath, stats,
};

use crate::kernel::{self, AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM};
use crate::maps::{EVENTS, UNIX_FDS};
use crate::unix_path::{self, EMPTY_PATH, PathBuffer};
use crate::{birth, counters, dns, emit, records, retry, worker};

/// The socket had gone to `SYN_SENT` first: only the local port was missing.
const EADDRNOTAVAIL: i64 = 99;

/// The `connect()` in flight in this process, which now returns.
#[inline(always)]
pub fn take_inflight(tgid: u32) -> Option<InflightConnect> {
    let worker = worker::serving(tgid)?;
    // SAFETY: a map value, written by this thread only.
    unsafe {
        let call = (*worker).inflight_connect;
        (*worker).inflight_connect.at_ns = 0;
        if call.at_ns == 0 { None } else { Some(call) }
    }
}

/// `connect()` came back with this.
#[inline(always)]
pub fn returned(tgid: u32, call: &InflightConnect, result: i64) {
    match -result {
        0 => connected(tgid, call),
        // EINTR, EISCONN, EALREADY, EINPROGRESS: not an end.
        4 | 106 | 114 | 115 => {}
        errno => failed(tgid, call, errno),
    }
}

/// The socket of a call, and its type; 0 if it is none.
#[inline(always)]
fn socket_of(call: &InflightConnect) -> (u64, u16) {
    if call.socket == 0 { kernel::socket_of_fd(call.fd) } else { kernel::socket_parts(call.socket) }
}

/// Reads `len` bytes of the address that was passed, `at` bytes into it; the mask shows the verifier that they fit.
#[inline(always)]
fn read_address(to: *mut u8, len: u32, call: &InflightConnect, at: u64) -> bool {
    let from = (call.address + at) as *const _;
    // SAFETY: the helpers check `from`; `to` has room for 127 bytes by contract of the callers.
    unsafe {
        if call.socket == 0 {
            bpf_probe_read_user(to.cast(), len & 127, from) == 0
        } else {
            bpf_probe_read_kernel(to.cast(), len & 127, from) == 0
        }
    }
}

/// Family of the address that was passed.
#[inline(always)]
fn family_of(call: &InflightConnect) -> u16 {
    let mut family: u16 = 0;
    read_address((&raw mut family).cast(), 2, call, 0);
    family
}

/// The path that was passed.
#[inline(always)]
fn path_of(call: &InflightConnect, to: &mut PathBuffer) {
    let from = (call.address + 2) as *const _;
    let size = UNIX_PATH as u32;
    let bytes = to.path.bytes.as_mut_ptr();
    // A path in the file system ends at its NUL, which callers may or may not count; what is behind it is no part of it.
    // SAFETY: the helpers check `from`; `to` has room for UNIX_PATH bytes.
    let read = unsafe {
        if call.socket == 0 {
            bpf_probe_read_user_str(bytes.cast(), size, from)
        } else {
            bpf_probe_read_kernel_str(bytes.cast(), size, from)
        }
    };
    if read > 1 {
        to.path.len = read as u16 - 1;
        return;
    }
    // An abstract name begins with NUL.
    let len = call.len.saturating_sub(2);
    let len = if len > size { size } else { len };
    read_address(bytes, len, call, 2);
    to.path.len = len as u16;
}

/// A unix connection was made. (TCP has tracepoints of its own.)
#[inline(never)]
fn connected(tgid: u32, call: &InflightConnect) {
    if family_of(call) != AF_UNIX {
        return;
    }
    let (sk, kind) = socket_of(call);
    if sk == 0 || kind != SOCK_STREAM {
        return;
    }
    let Some(worker) = worker::get(tgid) else { return };
    let mut buffer = EMPTY_PATH;
    path_of(call, &mut buffer);
    let path_id = unix_path::number(&buffer.path, call.at_ns);
    emit::count(stats::ATTEMPTS, 1);
    let Some(record) = birth::create(sk, &Addr::of_path(path_id), call.at_ns) else { return };
    let now = emit::now();
    let counters = birth::unix(sk, record, worker, path_id, now);
    // SAFETY: map values.
    unsafe {
        (*record).fd = call.fd;
        if let Some(counters) = counters
            && call.fd >= 0
        {
            counters::add_latency(&raw mut (*counters).connect, now.wrapping_sub(call.at_ns));
        }
    }
    // Without it the end is found late, by user space.
    if call.fd >= 0 && UNIX_FDS.insert(FdKey { tgid, fd: call.fd }, sk, 0).is_err() {
        emit::count(stats::LOST_EVENTS, 1);
    }
}

/// `connect()` returned this errno.
#[inline(never)]
fn failed(tgid: u32, call: &InflightConnect, errno: i64) {
    let Some(worker) = worker::get(tgid) else { return };
    let (sk, kind) = socket_of(call);
    if sk != 0 && kind != SOCK_STREAM {
        // syslog, the resolver's UDP.
        return;
    }
    let family = family_of(call);
    let now = emit::now();
    let Some(mut entry) = EVENTS.reserve::<ConnectFailed>(0) else {
        // Unless TCP had begun and was counted: then the record ends here, too.
        if sk == 0 || !records::remove(sk) {
            emit::count(stats::ATTEMPTS, 1);
        }
        emit::count(stats::LOST_RING, 1);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: reserved memory of that type, all of it written; map values.
    unsafe {
        event.write(core::mem::zeroed());
        (*event).header.now_ns = now;
        (*event).header.kind = EventKind::ConnectFailed as u32;
        (*event).header.tgid = tgid;
        (*event).id = birth::next_id(now);
        (*event).took_ns = now.wrapping_sub(call.at_ns);
        (*event).errno = errno as u32;
        (*event).netns = if sk == 0 { 0 } else { kernel::netns(sk) };
        let known = address(call, family, &mut (*event).remote, &mut (*event).path);
        // A key in the ring buffer's memory is refused before 5.16.
        let remote = (*event).remote;
        let netns = (*worker).netns;
        if !known || dns::is_name_server(&remote, netns) {
            entry.discard(0);
            return;
        }
        let mut counted = false;
        if sk != 0
            && let Some(record) = records::find(sk)
        {
            (*event).id = (*record).id;
            (*event).retry_of = (*record).retry_of;
            (*event).had_syn_sent = u32::from(errno == EADDRNOTAVAIL);
            records::remove(sk);
            counted = true;
        } else if let Some(candidate) = retry::candidate(worker, now) {
            (*event).retry_of = candidate.id;
        }
        if !counted {
            emit::count(stats::ATTEMPTS, 1);
            if family != AF_UNIX
                && let Some(counters) = counters::get_or_insert(&remote)
            {
                counters::add(&raw mut (*counters).attempts);
            }
        }
        // All attempts of one request have its client.
        if (*event).retry_of == 0 {
            (*worker).retry_candidate.client = (*worker).client;
            (*worker).retry_candidate.client_key = (*worker).client_key;
        }
        (*worker).retry_candidate.id = (*event).id;
        (*worker).retry_candidate.failed_ns = now;
    }
    entry.submit(emit::wakeup());
    emit::count(stats::REPORTED, 1);
}

/// The address that was passed to `connect()`; false if it is of no family of ours.
#[inline(always)]
fn address(call: &InflightConnect, family: u16, remote: &mut Addr, path: &mut UnixPath) -> bool {
    remote.family = family;
    match family {
        AF_UNIX => {
            let mut buffer = EMPTY_PATH;
            path_of(call, &mut buffer);
            *path = buffer.path;
            true
        }
        AF_INET => {
            read_address((&raw mut remote.port).cast(), 2, call, 2);
            remote.port = u16::from_be(remote.port);
            read_address(remote.ip.as_mut_ptr(), 4, call, 4)
        }
        AF_INET6 => {
            read_address((&raw mut remote.port).cast(), 2, call, 2);
            remote.port = u16::from_be(remote.port);
            read_address(remote.ip.as_mut_ptr(), 16, call, 8)
        }
        _ => false,
    }
}
