//! The other ends of nginx's connections, as far as they are on this kernel: which process ended its side, and whether it
//! was exiting. In whatever network namespace; nobody has to know before which processes serve an upstream.

use aya_ebpf::helpers::bpf_get_current_comm;
use upstream_trace_common::{Addr, EventKind, OriginClosed, stats};

use crate::config::offset;
use crate::kernel::{self, PF_EXITING, PF_KTHREAD, TCP_ESTABLISHED, read};
use crate::maps::{OWN_ADDRESSES, UPSTREAMS};
use crate::{emit, packets, process, worker};

/// `sk_shutdown` once the application has said that it sends no more.
const SEND_SHUTDOWN: u8 = 2;

/// A socket that is none of nginx's to an upstream leaves the states in which it carries data. Only where the application
/// does so is the current process the one that holds it: a RST or a timer finds it in `tcp_done()`, which notes the
/// shutdown afterwards.
#[inline(always)]
pub fn closes(sk: u64, old: u8) {
    if old != TCP_ESTABLISHED || kernel::shutdown(sk) & SEND_SHUTDOWN == 0 {
        return;
    }
    let task = kernel::current_task();
    let flags = kernel::task_flags(task);
    // A file may be let go by a thread of the kernel, long after.
    if flags & PF_KTHREAD == 0 && (flags & PF_EXITING != 0 || owes_an_answer(sk)) {
        ended_by(sk, task, flags & PF_EXITING != 0);
    }
}

/// Whether what came last on this socket came after what was last sent, or nothing was ever sent. Most connections that
/// are closed have carried their answer, and need no further look.
#[inline(always)]
fn owes_an_answer(sk: u64) -> bool {
    let sent: u32 = read(sk, offset!(lsndtime)).unwrap_or(0);
    let received: u32 = read(sk, offset!(lrcvtime)).unwrap_or(0);
    (sent.wrapping_sub(received) as i32) < 0 || read::<u64>(sk, offset!(bytes_sent)) == Some(0)
}

/// Sends who it was, if the other end may be nginx's.
#[inline(never)]
fn ended_by(sk: u64, task: u64, exiting: bool) -> u32 {
    let head = kernel::head(sk);
    if !head.is_internet() {
        return 0;
    }
    let (mut local, mut peer) = (Addr::default(), Addr::default());
    kernel::local(sk, &head, &mut local);
    kernel::remote(sk, &head, &mut peer);
    let own = Addr { port: 0, ..peer };
    let is_upstream = UPSTREAMS.get_ptr(&local).is_some();
    // Behind a translation its own address is another than the one that nginx asked for. A client of nginx, or of whatever
    // else listens there, looks the same but for the port; what goes to a loopback address is not translated.
    if !is_upstream
        && (kernel::is_loopback(&peer)
            || worker::is_listening(peer.port)
            || OWN_ADDRESSES.get_ptr(&own).is_none())
    {
        return 0;
    }
    let now = emit::now();
    let mut ends = [if is_upstream { local } else { own }, peer];
    if packets::is_flood(&mut ends, now) {
        if is_upstream {
            emit::count(stats::LOST_PACKETS, 1);
        }
        return 0;
    }
    // Two numbers: of an option that is none the compiler may read the other half, which old verifiers refuse.
    let (mut code, mut has_code) = (0, 0);
    if exiting && let Some(known) = read::<u32>(task, offset!(task_exit_code)) {
        (code, has_code) = (known, 1);
    }
    let oom = if exiting { process::out_of_memory(task) } else { 0 };
    let comm = bpf_get_current_comm().unwrap_or([0; 16]);
    let netns = kernel::netns(sk);
    let (mut received, mut has_received) = (0, 0);
    if let Some(known) = read::<u32>(sk, offset!(rcv_nxt)) {
        (received, has_received) = (known, 1);
    }
    emit::event::<OriginClosed>(EventKind::OriginClosed, kernel::current_tgid(), now, |event| {
        // SAFETY: reserved memory of that type.
        unsafe {
            (*event).local = local;
            (*event).peer = peer;
            (*event).comm = comm;
            (*event).exit_code = code;
            (*event).oom = oom;
            (*event).netns = netns;
            (*event).exiting = u8::from(exiting);
            (*event).has_code = has_code;
            (*event).has_received = has_received;
            (*event).pad = 0;
            (*event).received = received;
            (*event).pad2 = 0;
        }
    });
    0
}
