//! The places where the tool watches the kernel: one line each, with the rungs to try in order and what is lost
//! without it.

use upstream_trace_core::cause::{CAUSES, Sight};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Raw tracepoint with this name.
    Raw(&'static str),
    /// Tracepoint `category`, `name`.
    Tracepoint(&'static str, &'static str),
    /// At the entry of this kernel function.
    Fentry(&'static str),
    /// As above, where fentry is refused.
    Kprobe(&'static str),
}

impl Attach {
    /// Name of this kind, as in the JSON output.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Raw(_) => "raw_tracepoint",
            Self::Tracepoint(..) => "tracepoint",
            Self::Fentry(_) => "fentry",
            Self::Kprobe(_) => "kprobe",
        }
    }
}

/// One rung: a program of the object and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Rung {
    /// Name of the program.
    pub program: &'static str,
    /// Where it is attached.
    pub attach: Attach,
}

/// When a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it there is nothing to tell.
    Required,
    /// Without it something is missing.
    Wanted,
    /// It only makes another hook's evidence better; its absence is not worth a warning.
    Extra,
    /// Attached once nginx uses a unix upstream.
    OnUnix,
}

/// A hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name in the output.
    pub name: &'static str,
    /// First the cheapest.
    pub rungs: &'static [Rung],
    /// When it is attached.
    pub need: Need,
    /// What it lets us see; the causes say what they rest on.
    pub gives: &'static [Sight],
    /// What is lost without it, in words.
    pub costs: &'static str,
}

impl Hook {
    /// Causes that are not found, or less sure, without it; `None` if that goes for all of them.
    #[must_use]
    pub fn touches(&self) -> Option<Vec<&'static str>> {
        if self.gives.iter().any(|sight| sight.for_all()) {
            return None;
        }
        let touched =
            CAUSES.iter().filter(|cause| cause.rests_on.iter().any(|sight| self.gives.contains(sight)));
        Some(touched.map(|cause| cause.id).collect())
    }
}

const fn raw(name: &'static str) -> Rung {
    Rung { program: name, attach: Attach::Raw(name) }
}

const fn syscall(name: &'static str) -> Rung {
    Rung { program: name, attach: Attach::Tracepoint("syscalls", name) }
}

/// All hooks, in the order in which they are attached: those that see births come last, so that of whatever begins to
/// be recorded nothing is missed.
pub const HOOKS: &[Hook] = &[
    Hook {
        name: "tcp_destroy_sock",
        rungs: &[raw("tcp_destroy_sock")],
        need: Need::Required,
        gives: &[Sight::Connections],
        costs: "attempts that an error ended",
    },
    Hook {
        name: "kfree_skb",
        rungs: &[raw("kfree_skb")],
        need: Need::Wanted,
        gives: &[Sight::Drops],
        costs: "packets dropped on this host: local firewall verdicts are guesses",
    },
    Hook {
        name: "tcp_receive_reset",
        rungs: &[raw("tcp_receive_reset")],
        need: Need::Wanted,
        gives: &[Sight::Resets],
        costs: "resets: a refused port and an ICMP reject look alike",
    },
    Hook {
        name: "tcp_retransmit_skb",
        rungs: &[raw("tcp_retransmit_skb")],
        need: Need::Wanted,
        gives: &[Sight::Retransmits],
        costs: "retransmissions: a stuck connect is reported only when it ends",
    },
    Hook {
        name: "inet_sk_error_report",
        rungs: &[raw("inet_sk_error_report")],
        need: Need::Wanted,
        gives: &[Sight::Icmp],
        costs: "ICMP errors: who rejected a connection, and with which code",
    },
    Hook {
        name: "tcp_send_reset",
        rungs: &[raw("tcp_send_reset")],
        need: Need::Extra,
        gives: &[Sight::ResetsSent],
        costs: "resets sent by origins on this host",
    },
    Hook {
        name: "sock_send_length",
        rungs: &[raw("sock_send_length")],
        need: Need::Wanted,
        gives: &[Sight::Requests],
        costs: "requests: nothing can be said of established connections",
    },
    Hook {
        name: "sock_recv_length",
        rungs: &[raw("sock_recv_length")],
        need: Need::Wanted,
        gives: &[Sight::Answers],
        costs: "answers: nothing can be said of established connections",
    },
    Hook {
        name: "sched_process_fork",
        rungs: &[raw("sched_process_fork")],
        need: Need::Wanted,
        gives: &[Sight::Workers],
        costs: "new workers: after a reload nothing is seen any more",
    },
    Hook {
        name: "sched_process_exec",
        rungs: &[raw("sched_process_exec")],
        need: Need::Wanted,
        gives: &[Sight::Upgrades],
        costs: "binary upgrades",
    },
    Hook {
        name: "sched_process_exit",
        rungs: &[raw("sched_process_exit")],
        need: Need::Wanted,
        gives: &[Sight::Exits],
        costs: "crashes of workers, and of origins on this host",
    },
    Hook {
        name: "sys_enter_connect",
        rungs: &[syscall("sys_enter_connect")],
        need: Need::Wanted,
        gives: &[Sight::ConnectErrors, Sight::UnixConnections],
        costs: "connects that fail at once: no route, no permission, no port, and all unix sockets",
    },
    Hook {
        name: "sys_exit_connect",
        rungs: &[syscall("sys_exit_connect")],
        need: Need::Wanted,
        gives: &[Sight::ConnectErrors, Sight::UnixConnections],
        costs: "connects that fail at once: no route, no permission, no port, and all unix sockets",
    },
    Hook {
        name: "sys_enter_close",
        rungs: &[syscall("sys_enter_close")],
        need: Need::OnUnix,
        gives: &[Sight::UnixEnds],
        costs: "the moment at which nginx gives up on a unix upstream",
    },
    Hook {
        name: "inet_sock_set_state",
        rungs: &[raw("inet_sock_set_state")],
        need: Need::Required,
        gives: &[Sight::Connections],
        costs: "all TCP attempts",
    },
    Hook {
        name: "tcp_connect",
        rungs: &[
            Rung { program: "tcp_connect_fentry", attach: Attach::Fentry("tcp_connect") },
            Rung { program: "tcp_connect_kprobe", attach: Attach::Kprobe("tcp_connect") },
        ],
        need: Need::Extra,
        gives: &[Sight::LocalPorts],
        costs: "the local port before the first answer (replies dropped before they reach their socket)",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_cause_rests_on_is_given_by_a_hook() {
        for cause in CAUSES {
            for sight in cause.rests_on {
                let given = HOOKS.iter().any(|hook| hook.gives.contains(sight));
                assert!(given, "no hook gives {sight:?}, which {} rests on", cause.id);
                assert!(!sight.for_all(), "{} need not say that it rests on {sight:?}", cause.id);
            }
        }
    }

    #[test]
    fn every_hook_is_there_for_a_cause() {
        for hook in HOOKS {
            assert!(hook.touches().is_none_or(|causes| !causes.is_empty()), "{}", hook.name);
        }
        let drops = HOOKS.iter().find(|hook| hook.name == "kfree_skb").and_then(Hook::touches);
        assert!(drops.is_some_and(|causes| causes.contains(&"firewall-drop-local")));
    }
}
