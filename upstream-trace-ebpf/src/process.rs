//! nginx's processes: workers come and go with reloads, crashes and binary upgrades.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use upstream_trace_common::{EventKind, ProcessEvent, Worker};

use crate::config::offset;
use crate::kernel::{self, read};
use crate::maps::{WATCHED, WORKERS};
use crate::{emit, record};

static NEW: Worker = Worker::ZERO;

/// (struct task_struct *parent, struct task_struct *child), 5.4 to 7.2. A child of a watched process is watched
/// before it runs, so that none of its connections is missed.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn sched_process_fork(ctx: RawTracePointContext) -> i32 {
    let parent = kernel::current_tgid();
    if !record::may_be_watched(parent) || record::worker(parent).is_none() {
        return 0;
    }
    let child: u64 = ctx.arg(1);
    let pid: u32 = read(child, offset!(task_pid)).unwrap_or(0);
    let tgid: u32 = read(child, offset!(task_tgid)).unwrap_or(0);
    if tgid == 0 || pid != tgid {
        return 0;
    }
    let _ = WORKERS.insert(tgid, &NEW, 0);
    if let Some(flag) = WATCHED.get_ptr_mut(tgid & 4095) {
        // SAFETY: a map value.
        unsafe { *flag = 1 };
    }
    send(EventKind::Fork, parent, tgid, 0);
    0
}

/// (struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm), 5.4 to 7.2.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn sched_process_exec(_ctx: RawTracePointContext) -> i32 {
    let tgid = kernel::current_tgid();
    if record::may_be_watched(tgid)
        && let Some(worker) = record::worker(tgid)
    {
        // A binary upgrade: the new program is a master until it forks.
        // SAFETY: a map value.
        unsafe { (*worker).master = 1 };
        send(EventKind::Exec, tgid, 0, 0);
    }
    0
}

/// (struct task_struct *p[, bool group_dead (6.16)]), 5.4 to 7.2. Runs before the process's sockets are closed.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn sched_process_exit(ctx: RawTracePointContext) -> i32 {
    let tgid = kernel::current_tgid();
    if !record::may_be_watched(tgid) || record::worker(tgid).is_none() {
        return 0;
    }
    let task: u64 = ctx.arg(0);
    if read::<u32>(task, offset!(task_pid)) != Some(tgid) {
        return 0;
    }
    let code: u32 = read(task, offset!(task_exit_code)).unwrap_or(0);
    send(EventKind::Exit, tgid, 0, code);
    0
}

#[inline(always)]
fn send(kind: EventKind, tgid: u32, child: u32, exit_code: u32) {
    emit::event::<ProcessEvent>(kind, tgid, emit::now(), |event| {
        // SAFETY: reserved memory of that type.
        unsafe {
            (*event).child = child;
            (*event).exit_code = exit_code;
        }
    });
}
