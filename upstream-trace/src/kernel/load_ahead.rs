//! The verifier takes most of the time until the tool is attached: programs are loaded on all processors at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;

use upstream_trace_core::hooks::{HOOKS, When};

use super::attach::{IO, load, unusable};
use super::btf::Layout;
use super::hook_filter::HookFilter;
use super::load::Kernel;

/// Programs that the verifier takes longest for: on 6.18 it visits 49, 23, 25, 24 and 27 of 172 thousand instructions for
/// them (`bpf_prog_info.verified_insns`). They begin first, so that no processor waits at the end for one of them.
const LONGEST: [&str; 5] =
    ["inet_sock_set_state", "kfree_skb", "sock_send_length", "sock_recv_length", "tcp_destroy_sock"];

/// Programs that are loaded at the same time, at most: nginx needs its processors.
const LOADERS: usize = 4;

impl Kernel {
    /// Loads what will most likely be attached, on all processors: the verifier takes most of the time until the tool
    /// is attached. What is refused here is refused again, with its reason, when its turn comes.
    pub(super) fn load_ahead(&mut self, layout: &Layout, choice: &HookFilter, io: bool) {
        let wanted = HOOKS.iter().filter(|hook| io || !IO.contains(&hook.name));
        let usable = wanted.filter(|hook| unusable(hook, layout).is_none());
        let first =
            usable.filter_map(|hook| hook.methods.iter().find(|rung| choice.allows(hook, rung).is_ok()));
        let places: HashMap<_, _> = first
            .flat_map(|rung| rung.probes)
            .filter(|probe| probe.when == When::Always || probe.when == When::Preempted && self.stands_in)
            .map(|probe| (probe.program, probe.attach))
            .collect();
        let programs =
            self.ebpf.programs_mut().filter_map(|(name, program)| Some((name, program, *places.get(name)?)));
        let mut programs: Vec<_> = programs.collect();
        programs.sort_by_key(|(name, ..)| turn(name));
        let waiting = Mutex::new(programs.into_iter());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        let functions = &self.functions;
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(LOADERS) {
                scope.spawn(|| {
                    while let Some((_, program, attach)) = next() {
                        if let Err(error) = load(program, attach, functions) {
                            log::debug!("{}: {error:#}", attach.place());
                        }
                    }
                });
            }
        });
    }
}

/// When the turn of a program comes.
fn turn(name: &str) -> usize {
    LONGEST.iter().position(|longest| *longest == name).unwrap_or(LONGEST.len())
}

#[cfg(test)]
mod tests {
    use upstream_trace_core::hooks::Hook;

    use super::*;

    #[test]
    fn the_longest_are_programs_and_come_first() {
        let programs: Vec<_> = HOOKS.iter().flat_map(Hook::programs).collect();
        for longest in LONGEST {
            assert!(programs.contains(&longest), "{longest}");
        }
        let mut names = ["sched_process_exit", "kfree_skb", "inet_sock_set_state"];
        names.sort_by_key(|name| turn(name));
        assert_eq!(names, ["inet_sock_set_state", "kfree_skb", "sched_process_exit"]);
    }
}
