//! The birth of a record.
//!
//! First rung: the state tracepoint at `CLOSE -> SYN_SENT`, in the worker's own context and before anything is sent;
//! the local port is not chosen yet. Second rung where the kernel has it: `tcp_connect()`, which runs once it is.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::{fentry, kprobe};
use aya_ebpf::programs::{FEntryContext, ProbeContext};
use upstream_trace_common::{
    Addr, End, EventKind, Record, RetryEvent, Seed, SeedKey, StepKind, UpstreamCounters, Worker, flags, stats,
};

use crate::config::offset;
use crate::kernel;
use crate::maps::{RECORDS, UPSTREAMS};
use crate::record::{self, note};
use crate::{dns, emit, finish};

/// A retry begins right after the failure, in the same turn of nginx's event loop.
const RETRY_WINDOW_NS: u64 = 20_000_000;

/// nginx asks name servers over TCP when an answer was cut; they are no upstreams.
pub const DNS_PORT: u16 = 53;

/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;

static EMPTY: Record = Record::ZERO;
static NO_COUNTS: UpstreamCounters = UpstreamCounters::ZERO;

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

fn connecting(sk: u64) {
    if !record::may_be_watched(kernel::current_tgid()) {
        return;
    }
    match RECORDS.get_ptr_mut(sk) {
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
    let Some(worker) = record::serving(tgid) else { return };
    let head = kernel::head(sk);
    if !head.is_internet() {
        return;
    }
    let mut remote = Addr::default();
    kernel::remote(sk, &head, &mut remote);
    if remote.port == DNS_PORT || dns::is_resolver(&remote) {
        return;
    }
    let now = emit::now();
    emit::count(stats::ATTEMPTS, 1);
    let Some(record) = create(sk, &remote, now) else { return };
    // SAFETY: a map value that no other CPU can find yet: the socket has sent nothing.
    unsafe {
        (*record).tgid = tgid;
        (*record).flags = flag;
        (*record).netns = record::netns(worker, sk);
        note(record, StepKind::SynSent, now, 0);
        take_client(record, worker, now);
    }
}

/// A record for a new connection. If the end of the one that had this memory before was not seen, that ends now.
#[inline(always)]
pub fn create(sk: u64, remote: &Addr, now: u64) -> Option<*mut Record> {
    if let Some(old) = RECORDS.get_ptr_mut(sk) {
        finish::finish(sk, old, End::Reborn as u32, now);
    }
    create_fresh(sk, remote, now)
}

/// A record for a socket that has none, with its upstream counted. (Apart from [`create`], since the verifier would
/// have to walk through the end of a record in every program that may take a connection over.)
#[inline(always)]
pub fn create_fresh(sk: u64, remote: &Addr, now: u64) -> Option<*mut Record> {
    if RECORDS.insert(sk, &EMPTY, 0).is_err() {
        emit::count(stats::LOST_MAP, 1);
        return None;
    }
    let Some(record) = RECORDS.get_ptr_mut(sk) else {
        emit::count(stats::LOST_MAP, 1);
        return None;
    };
    // SAFETY: a map value that was just made for this socket.
    unsafe {
        (*record).id = next_id(now);
        (*record).sk = sk;
        (*record).born_ns = now;
        (*record).remote = *remote;
    }
    match upstream(remote) {
        // SAFETY: a map value.
        Some(counters) => unsafe { record::add(&raw mut (*counters).attempts) },
        None => emit::count(stats::LOST_SLOTS, 1),
    }
    Some(record)
}

/// Counters of an upstream, made if they are not there.
#[inline(always)]
pub fn upstream(remote: &Addr) -> Option<*mut UpstreamCounters> {
    if let Some(counters) = UPSTREAMS.get_ptr_mut(remote) {
        return Some(counters);
    }
    // Two CPUs may come here at once: the second insertion fails and finds what the first one made.
    let _ = UPSTREAMS.insert(remote, &NO_COUNTS, NO_EXIST);
    UPSTREAMS.get_ptr_mut(remote)
}

/// A number that no other attempt of this run has: the time, and the CPU in the low bits.
#[inline(always)]
pub fn next_id(now: u64) -> u64 {
    // SAFETY: takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    now << 6 | u64::from(cpu & 63)
}

/// Whose request the attempt is for, and whether it retries one that has just failed.
#[inline(always)]
pub fn take_client(record: *mut Record, worker: *mut Worker, now: u64) {
    // SAFETY: both are map values.
    unsafe {
        if (*worker).armed != 0 && now.wrapping_sub((*worker).armed_ns) < RETRY_WINDOW_NS {
            (*record).retry_of = (*worker).armed;
            (*record).client = (*worker).armed_client;
            (*record).client_key = (*worker).armed_client_key;
            (*worker).armed = 0;
            let (failed, retry, remote) = ((*record).retry_of, (*record).id, (*record).remote);
            emit::event::<RetryEvent>(EventKind::RetryStarted, (*record).tgid, now, |event| {
                (*event).failed = failed;
                (*event).retry = retry;
                (*event).remote = remote;
                (*event).pad = 0;
            });
        } else {
            (*record).retry_of = 0;
            (*record).client = (*worker).client;
            (*record).client_key = (*worker).client_key;
        }
        if (*record).client != 0 {
            (*record).flags |= flags::CLIENT_KNOWN;
        }
    }
}

/// A record for a connection that was open before the start.
#[inline(always)]
pub fn adopted(sk: u64, key: &SeedKey, seed: &Seed) -> Option<*mut Record> {
    let now = emit::now();
    let record = create_fresh(sk, &key.remote, now)?;
    // SAFETY: a map value.
    unsafe {
        (*record).id = seed.id;
        (*record).born_ns = seed.born_ns;
        (*record).local = key.local;
        (*record).netns = key.netns;
        (*record).tgid = seed.tgid;
        (*record).requests = 1;
        (*record).request_ns = seed.request_ns;
        (*record).last_recv_ns = seed.last_recv_ns;
        (*record).flags = flags::ADOPTED;
        if seed.announced != 0 {
            (*record).flags |= flags::TROUBLE_SENT;
        }
        if kernel::state(sk) != kernel::TCP_SYN_SENT {
            (*record).flags |= flags::ESTABLISHED;
            (*record).established_ns = seed.born_ns;
            if let Some(counters) = record::counters(&*record) {
                record::add(&raw mut (*counters).established);
            }
        }
        if (*record).flags & flags::ESTABLISHED == 0 {
            (*record).requests = 0;
        } else if seed.request_ns != 0 && unchanged(sk, seed) {
            (*record).flags |= flags::OUTSTANDING;
        } else {
            (*record).request_ns = 0;
            (*record).first_recv_ns = now;
            (*record).last_recv_ns = now;
            if record::take_announced(record) {
                let id = seed.id;
                emit::event::<RetryEvent>(EventKind::Answered, seed.tgid, now, |event| {
                    (*event).failed = id;
                    (*event).retry = 0;
                    (*event).remote = Addr { ip: [0; 16], port: 0, family: 0 };
                    (*event).pad = 0;
                });
            }
        }
    }
    Some(record)
}

/// Whether nothing but a FIN came and nothing was written since user space looked: only then is what it saw still so.
#[inline(always)]
fn unchanged(sk: u64, seed: &Seed) -> bool {
    let acked: u64 = kernel::read(sk, offset!(bytes_acked)).unwrap_or(0);
    let received: u64 = kernel::read(sk, offset!(bytes_received)).unwrap_or(0);
    acked + u64::from(kernel::unacked(sk)) == seed.written && received.wrapping_sub(seed.received) <= 1
}
