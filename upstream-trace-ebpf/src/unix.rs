//! Unix connections: their end, and those whose birth no hook saw, which get a record at what nginx first sends.
//!
//! Where the kernel allows neither fentry nor kprobes, the hooks that see births are on system calls, which slows every
//! system call of the host. So they stay away as long as error.log tells which connections could not be made.

use upstream_trace_common::{Addr, Disposition, End, EndFacts, FdKey, Record, flags, stats};

use crate::config::offset;
use crate::kernel::{self, SOCK_STREAM, read};
use crate::maps::{ANY_FDLESS, UNIX_FDS};
use crate::unix_path::{self, EMPTY_PATH};
use crate::{birth, emit, finish, payload, records, worker};

/// A watched process closed this descriptor, which may be one of a unix connection.
#[inline(always)]
pub fn closed(tgid: u32, fd: i32) {
    let key = FdKey { tgid, fd };
    // SAFETY: a plain copy of the value.
    let Some(sk) = (unsafe { UNIX_FDS.get(&key) }).copied() else {
        closed_fdless(fd);
        return;
    };
    match records::find(sk) {
        // SAFETY: a map value.
        Some(record) if unsafe { (*record).fd == fd && (*record).tgid == tgid } => {
            finish::finish(sk, record, End::Closed as u32, emit::now());
        }
        _ => {
            let _ = UNIX_FDS.remove(&key);
        }
    }
}

/// The end of a connection whose record does not know its descriptor.
#[inline(always)]
fn closed_fdless(fd: i32) {
    if ANY_FDLESS.get(0).is_none_or(|any| *any == 0) {
        return;
    }
    let (sk, _) = kernel::socket_of_fd(fd);
    if sk != 0
        && let Some(record) = records::find(sk)
        // SAFETY: a map value.
        && unsafe { (*record).flags } & flags::UNIX != 0
    {
        finish::finish(sk, record, End::Closed as u32, emit::now());
    }
}

/// A watched process released this `struct socket`, which may be one of a unix connection.
#[inline(always)]
pub fn released(socket: u64) {
    if !worker::may_be_watched(kernel::current_tgid()) {
        return;
    }
    let sk = kernel::socket_sk(socket);
    if let Some(record) = records::find(sk) {
        finish::finish(sk, record, End::Closed as u32, emit::now());
    }
}

/// A record for a connected socket of a worker, if it goes to an upstream: a client's socket has the name that nginx
/// listens on, one end of a pair has a peer without a name.
#[inline(never)]
pub fn first_sent(sk: u64, tgid: u32) -> Option<*mut Record> {
    let worker = worker::serving(tgid)?;
    let peer: u64 = read(sk, offset!(unix_peer))?;
    let socket: u64 = read(sk, offset!(sk_socket))?;
    let kind: u16 = read(socket, offset!(socket_type))?;
    let inode: u64 = read(socket, offset!(socket_inode)).unwrap_or(0);
    if read::<u64>(sk, offset!(unix_addr))? != 0 || kind != SOCK_STREAM {
        return None;
    }
    let mut buffer = EMPTY_PATH;
    unix_path::bound_name(peer, &mut buffer)?;
    let now = emit::now();
    let path_id = unix_path::number(&buffer.path, now);
    emit::count(stats::ATTEMPTS, 1);
    let record = birth::create_fresh(sk, &Addr::of_path(path_id), now)?;
    birth::unix(sk, record, worker, path_id, now);
    // SAFETY: a map value.
    unsafe { (*record).sock_inode = inode };
    remember_descriptor(sk, record, tgid);
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
        let inode = (*record).sock_inode;
        if (*record).flags & flags::UNIX == 0 || inode == 0 || inode == inode_of(sk) {
            return false;
        }
    }
    settle(sk, record);
    true
}

/// Ends the record of a unix connection whose end no hook saw.
#[inline(never)]
fn settle(sk: u64, record: *mut Record) -> u32 {
    let now = emit::now();
    // SAFETY: a map value.
    let sum = unsafe {
        finish::forget_descriptor(record);
        (*record).end = (*record).unseen_end() as u8;
        match EndFacts::of(&*record, now).disposition() {
            Disposition::Report => emit::end(record, now),
            _ => stats::HEALTHY,
        }
    };
    finish::remove_and_count(sk, sum);
    0
}

/// Inode number of the socket, 0 if it cannot be read.
#[inline(always)]
fn inode_of(sk: u64) -> u64 {
    read::<u64>(sk, offset!(sk_socket)).and_then(|socket| read(socket, offset!(socket_inode))).unwrap_or(0)
}
