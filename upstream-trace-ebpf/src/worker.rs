//! Watched processes: nginx's workers and masters.

use upstream_trace_common::Worker;

use crate::kernel;
use crate::maps::{LISTENING, WORKERS};

/// Whether this process may be watched; a few nanoseconds, with false positives.
#[inline(always)]
pub fn may_be_watched(tgid: u32) -> bool {
    WORKERS.get(Worker::places(tgid)[0]).is_some_and(|worker| worker.tgid != 0)
}

/// State of a watched process. Lookups in an array are part of the program, those in a hash table are calls of 20 ns.
#[inline(always)]
pub fn get(tgid: u32) -> Option<*mut Worker> {
    let [first, second] = Worker::places(tgid);
    let worker = WORKERS.get_ptr_mut(first)?;
    // SAFETY: map values.
    unsafe {
        if (*worker).tgid == tgid {
            return Some(worker);
        }
        if (*worker).tgid == 0 {
            return None;
        }
        WORKERS.get_ptr_mut(second).filter(|worker| (**worker).tgid == tgid)
    }
}

/// As above, unless it is a master: what a master connects to (name service caches and the like) is no upstream.
#[inline(always)]
pub fn serving(tgid: u32) -> Option<*mut Worker> {
    // SAFETY: a map value.
    get(tgid).filter(|worker| unsafe { (**worker).master } == 0)
}

/// Watches this process; false if both of its places are taken.
#[inline(always)]
pub fn watch(tgid: u32) -> bool {
    for place in Worker::places(tgid) {
        if let Some(worker) = WORKERS.get_ptr_mut(place) {
            // SAFETY: a map value.
            unsafe {
                if (*worker).tgid == 0 || (*worker).tgid == Worker::GONE {
                    *worker = Worker::ZERO;
                    (*worker).tgid = tgid;
                    return true;
                }
            }
        }
    }
    false
}

/// Nothing is kept of this process any more.
#[inline(always)]
pub fn forget(tgid: u32) {
    if may_be_watched(tgid)
        && let Some(worker) = get(tgid)
    {
        // SAFETY: a map value.
        unsafe {
            *worker = Worker::ZERO;
            (*worker).tgid = Worker::GONE;
        }
    }
}

/// Network namespace of a worker's socket. A worker stays where it is, so two reads are spared.
#[inline(always)]
pub fn netns(worker: *mut Worker, sk: u64) -> u32 {
    // SAFETY: callers pass a map value, written by this process only.
    unsafe {
        if (*worker).netns == 0 {
            (*worker).netns = kernel::netns(sk);
        }
        (*worker).netns
    }
}

/// Whether nginx listens on this port: sockets with it are clients.
#[inline(always)]
pub fn is_listening(port: u16) -> bool {
    LISTENING.get(u32::from(port)).is_some_and(|flag| *flag != 0)
}
