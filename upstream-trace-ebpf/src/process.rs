//! nginx's processes: workers come and go with reloads, crashes and binary upgrades. And those of the origins on this
//! host, whose end explains what becomes of their connections.

use aya_ebpf::helpers::bpf_get_current_comm;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::warn;
use upstream_trace_common::{EventKind, OriginExit, ProcessEvent, stats};

use crate::config::offset;
use crate::kernel::{self, read};
use crate::maps::ORIGINS;
use crate::{emit, worker};

/// (struct task_struct *parent, struct task_struct *child), 5.4 to 7.2. A child of a watched process is watched
/// before it runs, so that none of its connections is missed.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn sched_process_fork(ctx: RawTracePointContext) -> i32 {
    let parent = kernel::current_tgid();
    let child: u64 = ctx.arg(1);
    let pid: u32 = read(child, offset!(task_pid)).unwrap_or(0);
    let tgid: u32 = read(child, offset!(task_tgid)).unwrap_or(0);
    if tgid == 0 || pid != tgid {
        return 0;
    }
    origin_forked(parent, tgid);
    // The process that had this number before is gone, though user space may not have heard of it.
    worker::forget(tgid);
    if !worker::may_be_watched(parent) || worker::get(parent).is_none() {
        return 0;
    }
    if !worker::watch(tgid) {
        emit::count(stats::LOST_WORKERS, 1);
        warn!(&ctx, "the table of processes is full: worker {} is not watched", tgid);
        return 0;
    }
    send(EventKind::Fork, parent, tgid, 0);
    0
}

/// (struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm), 5.4 to 7.2.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn sched_process_exec(_ctx: RawTracePointContext) -> i32 {
    let tgid = kernel::current_tgid();
    // A helper that an origin runs holds none of its connections.
    if origin(tgid).is_some_and(|origin| origin != tgid) {
        let _ = ORIGINS.remove(&tgid);
    }
    if worker::may_be_watched(tgid)
        && let Some(worker) = worker::get(tgid)
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
    let task: u64 = ctx.arg(0);
    if let Some(origin) = origin(tgid) {
        origin_ended(tgid, origin, task);
    }
    if !worker::may_be_watched(tgid) || worker::get(tgid).is_none() {
        return 0;
    }
    if read::<u32>(task, offset!(task_pid)) != Some(tgid) {
        return 0;
    }
    let code: u32 = read(task, offset!(task_exit_code)).unwrap_or(0);
    send(EventKind::Exit, tgid, 0, code);
    0
}

/// Sends an event of a watched process.
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

/// The process that user space named and that this one is or was forked from.
#[inline(always)]
fn origin(tgid: u32) -> Option<u32> {
    // SAFETY: a plain copy of the value.
    unsafe { ORIGINS.get(&tgid) }.copied()
}

/// Children of an origin serve as it does, unless they run another program.
#[inline(always)]
fn origin_forked(parent: u32, child: u32) {
    let Some(origin) = origin(parent) else { return };
    if ORIGINS.insert(&child, &origin, 0).is_err() {
        emit::count(stats::LOST_ORIGINS, 1);
    }
}

/// `mark_oom_victim()` notes the memory that it is after (4.9 to 7.2): an [`OriginExit::oom`].
#[inline(always)]
pub fn out_of_memory(task: u64) -> u32 {
    let mm = read::<u64>(task, offset!(task_signal))
        .and_then(|signal| read::<u64>(signal, offset!(signal_oom_mm)));
    match mm {
        None => 2,
        Some(mm) => u32::from(mm != 0),
    }
}

/// Only the first thread has the process's exit code, and what it holds open is not closed before it ends.
#[inline(always)]
fn origin_ended(tgid: u32, origin: u32, task: u64) {
    if read::<u32>(task, offset!(task_pid)) != Some(tgid) {
        return;
    }
    let _ = ORIGINS.remove(&tgid);
    // Without its code the end says nothing.
    let Some(exit_code) = read::<u32>(task, offset!(task_exit_code)) else { return };
    // Servers that fork for each connection would send one of these for each.
    if exit_code == 0 && origin != tgid {
        return;
    }
    let oom = out_of_memory(task);
    let comm = bpf_get_current_comm().unwrap_or([0; 16]);
    emit::event::<OriginExit>(EventKind::OriginExit, tgid, emit::now(), |event| {
        // SAFETY: reserved memory of that type.
        unsafe {
            (*event).origin = origin;
            (*event).exit_code = exit_code;
            (*event).comm = comm;
            (*event).oom = oom;
            (*event).pad = 0;
        }
    });
}
