//! The birth of a record.
//!
//! First hook: the state tracepoint at `CLOSE -> SYN_SENT`, in the worker's own context and before anything is sent;
//! the local port is not chosen yet. Second hook, where the kernel has it: `tcp_connect()`, which runs once it is.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::{fentry, kprobe};
use aya_ebpf::programs::{FEntryContext, ProbeContext};
use upstream_trace_common::{Addr, End, Record, StepKind, UpstreamCounters, Worker, flags, stats};

use crate::kernel::{AF_INET, Head};
use crate::maps::{OWN_ADDRESSES, io_since};
use crate::trail::note;
use crate::{counters, dns, emit, finish, kernel, records, retry, worker};

/// int tcp_connect(struct sock *sk): same name and argument from 4.x to 7.2, never inlined (called across files).
#[fentry(function = "tcp_connect")]
pub fn tcp_connect_fentry(ctx: FEntryContext) -> i32 {
    let sk: u64 = ctx.arg::<*const u8>(0) as u64;
    connecting(sk);
    0
}

/// As above, for kernels where fentry is refused.
#[kprobe(function = "tcp_connect")]
pub fn tcp_connect_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(sk) = ctx.arg::<*const u8>(0) {
        connecting(sk as u64);
    }
    0
}

/// The local port is chosen, the SYN goes out next.
fn connecting(sk: u64) {
    if !worker::may_be_watched(kernel::current_tgid()) {
        return;
    }
    match records::find(sk) {
        // SAFETY: a map value.
        Some(record) => unsafe {
            kernel::local(sk, &kernel::head(sk), &mut (*record).local);
            (*record).flags &= !flags::BORN_BY_STATE;
        },
        None => tcp(sk, kernel::current_tgid(), 0),
    }
}

/// A watched process connects a TCP socket. `flag` says which hook saw it.
#[inline(never)]
pub fn tcp(sk: u64, tgid: u32, flag: u32) {
    let Some(worker) = worker::serving(tgid) else { return };
    // SAFETY: a map value, written by this process only.
    if flag == 0 && unsafe { (*worker).unrecorded } == sk {
        // The first hook has counted it.
        return;
    }
    let head = kernel::head(sk);
    if !head.is_internet() {
        return;
    }
    let mut remote = Addr::default();
    kernel::remote(sk, &head, &mut remote);
    if dns::is_name_server(&remote, worker::netns(worker, sk)) {
        return;
    }
    let now = emit::now();
    emit::count(stats::ATTEMPTS, 1);
    remember_own_address(sk, &head, worker);
    let record = create(sk, &remote, now);
    // SAFETY: as above.
    unsafe { (*worker).unrecorded = if record.is_none() { sk } else { 0 } };
    let Some(record) = record else { return };
    // SAFETY: a map value that no other CPU can find yet: the socket has sent nothing.
    unsafe {
        (*record).tgid = tgid;
        (*record).flags = flag;
        (*record).netns = worker::netns(worker, sk);
        note(record, StepKind::SynSent, now, 0);
        retry::assign_client(record, worker, now);
    }
}

/// What comes from and goes to this address may be nginx's own. A worker mostly connects from the one address that it
/// used last, which spares the lookup.
#[inline(always)]
fn remember_own_address(sk: u64, head: &Head, worker: *mut Worker) {
    let last = u32::from_ne_bytes(head.saddr);
    // SAFETY: callers pass a map value, written by this process only.
    unsafe {
        if head.family == AF_INET && (*worker).own_ip == last {
            return;
        }
        (*worker).own_ip = if head.family == AF_INET { last } else { 0 };
    }
    let mut own = Addr::default();
    kernel::local(sk, head, &mut own);
    own.port = 0;
    if OWN_ADDRESSES.get_ptr(&own).is_none() {
        let _ = OWN_ADDRESSES.insert(&own, &1, 0);
    }
}

/// Fills the record of a unix connection, which is established from the start. The counters of its upstream, if it has
/// some.
#[inline(always)]
pub fn unix(
    sk: u64,
    record: *mut Record,
    worker: *mut Worker,
    path_id: u32,
    now: u64,
) -> Option<*mut UpstreamCounters> {
    // SAFETY: callers pass map values.
    unsafe {
        (*record).tgid = (*worker).tgid;
        (*record).path_id = path_id;
        (*record).netns = worker::netns(worker, sk);
        (*record).flags = flags::UNIX | flags::ESTABLISHED;
        (*record).established_ns = now;
        note(record, StepKind::Established, now, 0);
        retry::assign_client(record, worker, now);
        let counters = counters::get(&(*record).remote)?;
        counters::add(&raw mut (*counters).established);
        (*counters).last_established_ns = now;
        Some(counters)
    }
}

/// A record for a new connection. If the end of the one that had this memory before was not seen, that ends now.
#[inline(always)]
pub fn create(sk: u64, remote: &Addr, now: u64) -> Option<*mut Record> {
    if let Some(old) = records::find(sk) {
        finish::finish(sk, old, End::Reborn as u32, now);
    }
    create_fresh(sk, remote, now)
}

/// A record for a socket that has none, with its upstream counted. (Apart from [`create`], since the verifier would
/// have to walk through the end of a record in every program that may adopt a connection.)
#[inline(always)]
pub fn create_fresh(sk: u64, remote: &Addr, now: u64) -> Option<*mut Record> {
    let Some(record) = records::insert(sk) else {
        emit::count(stats::LOST_MAP, 1);
        return None;
    };
    // SAFETY: a map value that was just made for this socket.
    unsafe {
        (*record).id = next_id(now);
        (*record).sk = sk;
        (*record).born_ns = now;
        (*record).remote = *remote;
        (*record).io_since = io_since();
    }
    match counters::get_or_insert(remote) {
        // SAFETY: a map value.
        Some(counters) => unsafe { counters::add(&raw mut (*counters).attempts) },
        None => emit::count(stats::LOST_SLOTS, 1),
    }
    Some(record)
}

/// A number that no other attempt of this run has: the time, and the CPU in the low bits.
#[inline(always)]
pub fn next_id(now: u64) -> u64 {
    // SAFETY: takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    now << 6 | u64::from(cpu & 63)
}
