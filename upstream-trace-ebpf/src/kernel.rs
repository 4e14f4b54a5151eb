//! Reads of kernel structures, at the offsets that user space found in the kernel's BTF.

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_probe_read_kernel,
    generated::{bpf_get_current_task, bpf_jiffies64},
};
use upstream_trace_common::{ABSENT, Addr, SocketFacts, TcpNumbers};

use crate::config::offset;

/// Constants of the kernel, under its own names.
macro_rules! constants {
    ($($name:ident: $type:ty = $value:literal;)*) => {
        $(#[doc = concat!("`", stringify!($name), "` of the kernel.")] pub const $name: $type = $value;)*
    };
}

constants! {
    AF_UNIX: u16 = 1;
    AF_INET: u16 = 2;
    AF_INET6: u16 = 10;

    SOCK_STREAM: u16 = 1;
    SOCK_DGRAM: u16 = 2;

    TCP_ESTABLISHED: u8 = 1;
    TCP_SYN_SENT: u8 = 2;
    TCP_FIN_WAIT1: u8 = 4;
    TCP_TIME_WAIT: u8 = 6;
    TCP_CLOSE: u8 = 7;
    TCP_CLOSE_WAIT: u8 = 8;
    TCP_LAST_ACK: u8 = 9;
    TCP_LISTEN: u8 = 10;
    TCP_NEW_SYN_RECV: u8 = 12;
}

/// `-EAGAIN`, as calls return it.
pub const EAGAIN: i32 = -11;
/// `-EPIPE`, as calls return it.
pub const EPIPE: i32 = -32;

/// `sk_shutdown` once the application has closed the socket.
pub const SHUTDOWN_BOTH: u8 = 3;

/// Task flag of a process that is exiting; same value since 2.6.
pub const PF_EXITING: u32 = 4;
/// Task flag of a thread of the kernel; same value since 2.6.27.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// Reads a value at `base + offset`; `None` if the kernel has no such field or the address is bad.
#[inline(always)]
pub fn read<T: Copy>(base: u64, offset: u16) -> Option<T> {
    if offset == ABSENT || base == 0 {
        return None;
    }
    // SAFETY: bpf_probe_read_kernel checks the address at run time and fails on a bad one; T is plain data.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// Process id of the current task.
#[inline(always)]
pub fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The current task.
#[inline(always)]
pub fn current_task() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_get_current_task() }
}

/// Whether the current task is exiting: its sockets are being closed for it.
#[inline(always)]
pub fn current_is_exiting() -> bool {
    task_flags(current_task()) & PF_EXITING != 0
}

/// Flags of a task, 0 if they cannot be read.
#[inline(always)]
pub fn task_flags(task: u64) -> u32 {
    read(task, offset!(task_flags)).unwrap_or(0)
}

/// Address family of a socket, 0 if it cannot be read.
#[inline(always)]
pub fn family(sk: u64) -> u16 {
    read(sk, offset!(family)).unwrap_or(0)
}

/// What every look at a socket begins with. It lies side by side in `struct sock_common`, so one read does; each read
/// costs 10 to 15 ns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Head {
    /// Remote IPv4 address.
    pub daddr: [u8; 4],
    /// Local IPv4 address.
    pub saddr: [u8; 4],
    /// `skc_hash`.
    hash: u32,
    /// Remote port, network order.
    dport: u16,
    /// Local port, host order.
    pub num: u16,
    /// Address family.
    pub family: u16,
    /// TCP state.
    pub state: u8,
    /// Bit fields that do not matter here.
    pad: u8,
}

/// Whether this kernel has those fields side by side, in that order (all from 4.x to 7.2). Known at load, so that only
/// one way is left in the program.
#[inline(always)]
fn side_by_side() -> bool {
    let at = offset!(daddr);
    offset!(saddr) == at + 4
        && offset!(dport) == at + 12
        && offset!(num) == at + 14
        && offset!(family) == at + 16
        && offset!(state) == at + 18
}

/// The head of a socket; all zero if it cannot be read.
#[inline(always)]
pub fn head(sk: u64) -> Head {
    const NONE: Head =
        Head { daddr: [0; 4], saddr: [0; 4], hash: 0, dport: 0, num: 0, family: 0, state: 0, pad: 0 };
    if side_by_side() {
        return read(sk, offset!(daddr)).unwrap_or(NONE);
    }
    Head {
        daddr: read(sk, offset!(daddr)).unwrap_or([0; 4]),
        saddr: read(sk, offset!(saddr)).unwrap_or([0; 4]),
        dport: read(sk, offset!(dport)).unwrap_or(0),
        num: local_port(sk),
        family: family(sk),
        state: state(sk),
        ..NONE
    }
}

impl Head {
    /// An internet socket.
    #[inline(always)]
    pub fn is_internet(&self) -> bool {
        self.family == AF_INET || self.family == AF_INET6
    }

    /// No port on either side.
    #[inline(always)]
    pub fn is_unconnected(&self) -> bool {
        self.dport == 0 && self.num == 0
    }

    /// Tells one client's socket from the next that uses the same memory. Leaves out the local port, which is 0 again
    /// once a reset has closed the socket.
    #[inline(always)]
    pub fn client_key(&self) -> u64 {
        u64::from(u32::from_ne_bytes(self.daddr)) << 32 | u64::from(self.dport)
    }
}

/// Local port of a socket, 0 if it has none or it cannot be read.
#[inline(always)]
pub fn local_port(sk: u64) -> u16 {
    read(sk, offset!(num)).unwrap_or(0)
}

/// TCP state of a socket, 0 if it cannot be read.
#[inline(always)]
pub fn state(sk: u64) -> u8 {
    read(sk, offset!(state)).unwrap_or(0)
}

/// `sk_shutdown` of a socket, 0 if it cannot be read.
#[inline(always)]
pub fn shutdown(sk: u64) -> u8 {
    read(sk, offset!(sk_shutdown)).unwrap_or(0)
}

/// `sk_err` of a socket, a positive errno; 0 if there is none or it cannot be read.
#[inline(always)]
pub fn error(sk: u64) -> u32 {
    read(sk, offset!(sk_err)).unwrap_or(0)
}

/// Inode number of the network namespace of a socket, 0 if it cannot be read.
#[inline(always)]
pub fn netns(sk: u64) -> u32 {
    read::<u64>(sk, offset!(net)).and_then(|net| read(net, offset!(net_inum))).unwrap_or(0)
}

/// Remote address of an internet socket.
#[inline(always)]
pub fn remote(sk: u64, head: &Head, to: &mut Addr) {
    to.family = head.family;
    to.port = u16::from_be(head.dport);
    to.ip = ip(sk, head.family, head.daddr, offset!(daddr6));
}

/// Local address of an internet socket.
#[inline(always)]
pub fn local(sk: u64, head: &Head, to: &mut Addr) {
    to.family = head.family;
    to.port = own_port(sk, head);
    to.ip = ip(sk, head.family, head.saddr, offset!(saddr6));
}

/// Whether an address is of this host only.
#[inline(always)]
pub fn is_loopback(address: &Addr) -> bool {
    let ip = &address.ip;
    // Of IPv6 there is one; an IPv4 address has zeros behind it.
    (address.family == AF_INET && ip[0] == 127) || (ip[0] == 0 && ip[15] == 1)
}

/// Local port of an internet socket, which outlives `skc_num`.
#[inline(always)]
pub fn own_port(sk: u64, head: &Head) -> u16 {
    if head.num == 0 { u16::from_be(read(sk, offset!(sport)).unwrap_or(0)) } else { head.num }
}

/// An address of a socket: the IPv4 address as it was read, or the IPv6 address at the offset `v6`.
#[inline(always)]
fn ip(sk: u64, family: u16, four: [u8; 4], v6: u16) -> [u8; 16] {
    if family == AF_INET6 {
        return read(sk, v6).unwrap_or([0; 16]);
    }
    let mut ip = [0; 16];
    ip[0] = four[0];
    ip[1] = four[1];
    ip[2] = four[2];
    ip[3] = four[3];
    ip
}

/// What the socket keeps that tells whether a request is under way. A kernel that lacks a field gives 0 for it, which
/// makes the rule see nothing rather than a failure.
#[inline(always)]
pub fn socket_facts(sk: u64, now: u64) -> SocketFacts {
    let rcv_nxt: u32 = read(sk, offset!(rcv_nxt)).unwrap_or(0);
    SocketFacts {
        snd_wl1: read(sk, offset!(snd_wl1)).unwrap_or(rcv_nxt.wrapping_sub(1)),
        rcv_nxt,
        rcv_wup: read(sk, offset!(rcv_wup)).unwrap_or(rcv_nxt.wrapping_sub(1)),
        unacked: unacked(sk),
        bytes_acked: read(sk, offset!(bytes_acked)).unwrap_or(0),
        bytes_received: read(sk, offset!(bytes_received)).unwrap_or(0),
        data_segs_out: read(sk, offset!(data_segs_out)).unwrap_or(0),
        sent_ticks: read(sk, offset!(lsndtime)).unwrap_or(0),
        received_ticks: read(sk, offset!(lrcvtime)).unwrap_or(0),
        // SAFETY: takes no argument.
        now_ticks: unsafe { bpf_jiffies64() } as u32,
        sent_us_ago: now.saturating_sub(last_sent_ns(sk)) / 1000,
    }
}

/// When the segment was sent that was acknowledged last, or the first of those on the way; nanoseconds of
/// `CLOCK_MONOTONIC`, 0 if it is not known.
#[inline(always)]
pub fn last_sent_ns(sk: u64) -> u64 {
    read::<u64>(sk, offset!(first_tx_mstamp)).unwrap_or(0).wrapping_mul(1000)
}

/// One past the last byte that nginx wrote.
#[inline(always)]
pub fn write_seq(sk: u64) -> u32 {
    read(sk, offset!(write_seq)).unwrap_or(0)
}

/// Bytes that nginx ever wrote.
#[inline(always)]
pub fn written(sk: u64) -> u64 {
    read::<u64>(sk, offset!(bytes_acked)).unwrap_or(0).saturating_sub(1) + u64::from(unacked(sk))
}

/// Bytes written and not acknowledged.
#[inline(always)]
pub fn unacked(sk: u64) -> u32 {
    let end: u32 = read(sk, offset!(write_seq)).unwrap_or(0);
    end.wrapping_sub(read(sk, offset!(snd_una)).unwrap_or(end))
}

/// `sk_err` and `sk_err_soft`, which lie side by side.
#[inline(always)]
pub fn errors(sk: u64, to: &mut TcpNumbers) {
    if offset!(sk_err_soft) == offset!(sk_err) + 4 {
        let both: [u32; 2] = read(sk, offset!(sk_err)).unwrap_or([0; 2]);
        to.err = both[0];
        to.err_soft = both[1];
    } else {
        to.err = error(sk);
        to.err_soft = read(sk, offset!(sk_err_soft)).unwrap_or(0);
    }
}

/// Everything that the TCP socket knows.
#[inline(always)]
pub fn tcp_numbers(sk: u64, to: &mut TcpNumbers) {
    to.bytes_sent = read(sk, offset!(bytes_sent)).unwrap_or(0);
    to.bytes_acked = read(sk, offset!(bytes_acked)).unwrap_or(0);
    to.bytes_received = read(sk, offset!(bytes_received)).unwrap_or(0);
    to.snd_una = read(sk, offset!(snd_una)).unwrap_or(0);
    to.snd_nxt = read(sk, offset!(snd_nxt)).unwrap_or(0);
    to.write_seq = read(sk, offset!(write_seq)).unwrap_or(0);
    to.rcv_nxt = read(sk, offset!(rcv_nxt)).unwrap_or(0);
    to.copied_seq = read(sk, offset!(copied_seq)).unwrap_or(0);
    to.snd_wnd = read(sk, offset!(snd_wnd)).unwrap_or(0);
    to.srtt_us = read(sk, offset!(srtt_us)).unwrap_or(0);
    to.total_retrans = read(sk, offset!(total_retrans)).unwrap_or(0);
    errors(sk, to);
    to.retransmits = read(sk, offset!(icsk_retransmits)).unwrap_or(0);
    to.probes = read(sk, offset!(icsk_probes)).unwrap_or(0);
    to.shutdown = shutdown(sk);
    to.idle_ticks = idle_ticks(sk);
}

/// Ticks since data last arrived.
#[inline(always)]
fn idle_ticks(sk: u64) -> u16 {
    let Some(received) = read::<u32>(sk, offset!(lrcvtime)) else { return TcpNumbers::LONG };
    // SAFETY: takes no argument.
    let ticks = (unsafe { bpf_jiffies64() } as u32).wrapping_sub(received);
    if ticks >= u32::from(TcpNumbers::LONG) { TcpNumbers::LONG } else { ticks as u16 }
}

/// 1 if this side has offered no room for data that is left, 0 if it has, or that is not known.
#[inline(always)]
pub fn no_room(sk: u64) -> u8 {
    let Some(window) = read::<u32>(sk, offset!(rcv_wnd)) else { return 0 };
    let (Some(from), Some(next)) = (read::<u32>(sk, offset!(rcv_wup)), read::<u32>(sk, offset!(rcv_nxt)))
    else {
        return 0;
    };
    u8::from((from.wrapping_add(window).wrapping_sub(next) as i32) <= 0)
}

/// The socket behind a descriptor of the current process, and its type; 0 if it is none.
#[inline(always)]
pub fn socket_of_fd(fd: i32) -> (u64, u16) {
    // SAFETY: takes no argument.
    let task = unsafe { bpf_get_current_task() };
    socket_in(task, fd).unwrap_or((0, 0))
}

/// The socket behind a descriptor of this task, and its type.
#[inline(always)]
fn socket_in(task: u64, fd: i32) -> Option<(u64, u16)> {
    let table: u64 = read(read(task, offset!(task_files))?, offset!(files_fdt))?;
    let size: u32 = read(table, offset!(fdt_max))?;
    if fd < 0 || fd as u32 >= size {
        return None;
    }
    let files: u64 = read(table, offset!(fdt_fd))?;
    let file: u64 = read(files + fd as u64 * 8, 0)?;
    Some(socket_parts(read(file, offset!(file_private))?))
}

/// The socket behind a `struct socket`, and its type; 0 if they cannot be read.
#[inline(always)]
pub fn socket_parts(socket: u64) -> (u64, u16) {
    (socket_sk(socket), read(socket, offset!(socket_type)).unwrap_or(0))
}

/// The socket behind a `struct socket`, 0 if it cannot be read.
#[inline(always)]
pub fn socket_sk(socket: u64) -> u64 {
    read(socket, offset!(socket_sk)).unwrap_or(0)
}
