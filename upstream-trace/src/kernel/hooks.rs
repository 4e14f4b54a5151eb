//! The places where the tool watches the kernel: one line each, with the rungs to try in order and what is lost
//! without it.

use upstream_trace_core::cause::{CAUSES, Signal};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Raw tracepoint with this name.
    Raw(&'static str),
    /// Tracepoint `category`, `name`.
    Tracepoint(&'static str, &'static str),
    /// At the entry of this kernel function.
    Fentry(&'static str),
    /// At its return.
    Fexit(&'static str),
    /// At the entry of this kernel function, where fentry is refused.
    Kprobe(&'static str),
    /// At its return.
    Kretprobe(&'static str),
}

impl Attach {
    /// Name of this kind, as in the JSON output.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Raw(_) => "raw_tracepoint",
            Self::Tracepoint(..) => "tracepoint",
            Self::Fentry(_) | Self::Fexit(_) => "fentry",
            Self::Kprobe(_) | Self::Kretprobe(_) => "kprobe",
        }
    }

    /// The function or tracepoint.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Raw(name)
            | Self::Tracepoint(_, name)
            | Self::Fentry(name)
            | Self::Fexit(name)
            | Self::Kprobe(name)
            | Self::Kretprobe(name) => name,
        }
    }
}

/// When a program of a rung is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the start; without it the rung does not hold.
    Always,
    /// At the start, if the kernel has that place: functions come and go.
    IfThere,
    /// Where error.log does not tell of errors of `connect()`, or once nginx uses a unix upstream.
    OnConnect,
    /// Once nginx uses a unix upstream.
    OnUnix,
}

/// A program of the object, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Name of the program.
    pub program: &'static str,
    /// Where it is attached.
    pub attach: Attach,
    /// When it is attached.
    pub when: When,
}

/// One way to get the evidence of a hook: programs that belong together, all of one kind.
#[derive(Clone, Copy, Debug)]
pub struct AttachMethod {
    /// The programs, in the order in which they are attached.
    pub probes: &'static [Probe],
}

impl AttachMethod {
    /// Name of this kind, as in the JSON output and in `--hooks`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.probes[0].attach.kind()
    }
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
}

/// A hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name in the output.
    pub name: &'static str,
    /// First the cheapest.
    pub methods: &'static [AttachMethod],
    /// When it is attached.
    pub need: Need,
    /// What it lets us see; the causes say what they rest on.
    pub provides: &'static [Signal],
    /// What is lost without it, in words.
    pub costs: &'static str,
}

impl Hook {
    /// Names of the programs of all its rungs.
    pub fn programs(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.methods.iter().flat_map(|rung| rung.probes).map(|probe| probe.program)
    }

    /// Causes that are not found, or less sure, without it; `None` if that goes for all of them.
    #[must_use]
    pub fn affected_causes(&self) -> Option<Vec<&'static str>> {
        if self.provides.iter().any(|sight| sight.for_all()) {
            return None;
        }
        let touched =
            CAUSES.iter().filter(|cause| cause.needs.iter().any(|sight| self.provides.contains(sight)));
        Some(touched.map(|cause| cause.id).collect())
    }
}

const fn probe(program: &'static str, attach: Attach) -> Probe {
    Probe { program, attach, when: When::Always }
}

const fn raw(name: &'static str) -> Probe {
    probe(name, Attach::Raw(name))
}

const fn syscall(name: &'static str, when: When) -> Probe {
    Probe { program: name, attach: Attach::Tracepoint("syscalls", name), when }
}

const fn if_there(program: &'static str, attach: Attach) -> Probe {
    Probe { program, attach, when: When::IfThere }
}

/// Results of `connect()`, and the end of unix connections, by the functions behind the system calls.
const CONNECT_BY_FENTRY: AttachMethod = AttachMethod {
    probes: &[
        probe("unix_release_fentry", Attach::Fentry("unix_release")),
        probe("inet_stream_connect_fexit", Attach::Fexit("inet_stream_connect")),
        probe("unix_stream_connect_fexit", Attach::Fexit("unix_stream_connect")),
        probe("security_socket_connect_fexit", Attach::Fexit("security_socket_connect")),
    ],
};

const CONNECT_BY_KPROBE: AttachMethod = AttachMethod {
    probes: &[
        probe("unix_release_kprobe", Attach::Kprobe("unix_release")),
        probe("inet_stream_connect_kretprobe", Attach::Kretprobe("inet_stream_connect")),
        probe("inet_stream_connect_kprobe", Attach::Kprobe("inet_stream_connect")),
        probe("unix_stream_connect_kretprobe", Attach::Kretprobe("unix_stream_connect")),
        probe("unix_stream_connect_kprobe", Attach::Kprobe("unix_stream_connect")),
        probe("security_socket_connect_kretprobe", Attach::Kretprobe("security_socket_connect")),
        probe("security_socket_connect_kprobe", Attach::Kprobe("security_socket_connect")),
    ],
};

/// Slows every system call of the host, by 50 ns on 6.18: only where nothing else tells.
const CONNECT_BY_SYSCALL: AttachMethod = AttachMethod {
    probes: &[
        syscall("sys_enter_connect", When::OnConnect),
        syscall("sys_exit_connect", When::OnConnect),
        syscall("sys_enter_close", When::OnUnix),
    ],
};

const SEND_BY_FENTRY: AttachMethod = AttachMethod {
    probes: &[
        probe("tcp_sendmsg_fexit", Attach::Fexit("tcp_sendmsg")),
        if_there("tcp_sendpage_fexit", Attach::Fexit("tcp_sendpage")),
        probe("unix_stream_sendmsg_fexit", Attach::Fexit("unix_stream_sendmsg")),
        if_there("unix_stream_sendpage_fexit", Attach::Fexit("unix_stream_sendpage")),
    ],
};

const SEND_BY_KPROBE: AttachMethod = AttachMethod {
    probes: &[
        probe("send_kretprobe", Attach::Kretprobe("tcp_sendmsg")),
        probe("tcp_sendmsg_kprobe", Attach::Kprobe("tcp_sendmsg")),
        if_there("send_kretprobe", Attach::Kretprobe("tcp_sendpage")),
        if_there("tcp_sendpage_kprobe", Attach::Kprobe("tcp_sendpage")),
        probe("send_kretprobe", Attach::Kretprobe("unix_stream_sendmsg")),
        probe("unix_stream_sendmsg_kprobe", Attach::Kprobe("unix_stream_sendmsg")),
        if_there("send_kretprobe", Attach::Kretprobe("unix_stream_sendpage")),
        if_there("unix_stream_sendpage_kprobe", Attach::Kprobe("unix_stream_sendpage")),
    ],
};

const RECEIVE_BY_FENTRY: AttachMethod = AttachMethod {
    probes: &[
        probe("tcp_recvmsg_fexit", Attach::Fexit("tcp_recvmsg")),
        probe("unix_stream_recvmsg_fexit", Attach::Fexit("unix_stream_recvmsg")),
    ],
};

const RECEIVE_BY_KPROBE: AttachMethod = AttachMethod {
    probes: &[
        probe("receive_kretprobe", Attach::Kretprobe("tcp_recvmsg")),
        probe("tcp_recvmsg_kprobe", Attach::Kprobe("tcp_recvmsg")),
        probe("receive_kretprobe", Attach::Kretprobe("unix_stream_recvmsg")),
        probe("unix_stream_recvmsg_kprobe", Attach::Kprobe("unix_stream_recvmsg")),
    ],
};

/// All hooks, in the order in which they are attached: those that see births come last, so that of whatever begins to
/// be recorded nothing is missed.
pub const HOOKS: &[Hook] = &[
    Hook {
        name: "tcp_destroy_sock",
        methods: &[AttachMethod { probes: &[raw("tcp_destroy_sock")] }],
        need: Need::Required,
        provides: &[Signal::Connections],
        costs: "attempts that an error ended",
    },
    Hook {
        name: "kfree_skb",
        methods: &[AttachMethod { probes: &[raw("kfree_skb")] }],
        need: Need::Wanted,
        provides: &[Signal::Drops],
        costs: "packets dropped on this host: local firewall verdicts are guesses",
    },
    Hook {
        name: "tcp_receive_reset",
        methods: &[AttachMethod { probes: &[raw("tcp_receive_reset")] }],
        need: Need::Wanted,
        provides: &[Signal::Resets],
        costs: "resets: a refused port and an ICMP reject look alike",
    },
    Hook {
        name: "tcp_retransmit_skb",
        methods: &[AttachMethod { probes: &[raw("tcp_retransmit_skb")] }],
        need: Need::Wanted,
        provides: &[Signal::Retransmits],
        costs: "retransmissions: a stuck connect is reported only when it ends",
    },
    Hook {
        name: "inet_sk_error_report",
        methods: &[
            AttachMethod { probes: &[raw("inet_sk_error_report")] },
            AttachMethod {
                probes: &[probe("sock_queue_err_skb_fentry", Attach::Fentry("sock_queue_err_skb"))],
            },
            AttachMethod {
                probes: &[probe("sock_queue_err_skb_kprobe", Attach::Kprobe("sock_queue_err_skb"))],
            },
        ],
        need: Need::Wanted,
        provides: &[Signal::Icmp],
        costs: "ICMP errors: who rejected a connection, and with which code",
    },
    Hook {
        name: "tcp_send_reset",
        methods: &[AttachMethod { probes: &[raw("tcp_send_reset")] }],
        need: Need::Extra,
        provides: &[Signal::ResetsSent],
        costs: "resets sent by origins on this host",
    },
    Hook {
        name: "sock_send_length",
        methods: &[AttachMethod { probes: &[raw("sock_send_length")] }, SEND_BY_FENTRY, SEND_BY_KPROBE],
        need: Need::Wanted,
        provides: &[Signal::Requests],
        costs: "requests: nothing can be said of established connections",
    },
    Hook {
        name: "sock_recv_length",
        methods: &[AttachMethod { probes: &[raw("sock_recv_length")] }, RECEIVE_BY_FENTRY, RECEIVE_BY_KPROBE],
        need: Need::Wanted,
        provides: &[Signal::Answers],
        costs: "answers: nothing can be said of established connections",
    },
    Hook {
        name: "sched_process_fork",
        methods: &[AttachMethod { probes: &[raw("sched_process_fork")] }],
        need: Need::Wanted,
        provides: &[Signal::Workers],
        costs: "new workers: after a reload nothing is seen any more",
    },
    Hook {
        name: "sched_process_exec",
        methods: &[AttachMethod { probes: &[raw("sched_process_exec")] }],
        need: Need::Wanted,
        provides: &[Signal::Upgrades],
        costs: "binary upgrades",
    },
    Hook {
        name: "sched_process_exit",
        methods: &[AttachMethod { probes: &[raw("sched_process_exit")] }],
        need: Need::Wanted,
        provides: &[Signal::Exits],
        costs: "crashes of workers, and of origins on this host",
    },
    Hook {
        name: "connect",
        methods: &[CONNECT_BY_FENTRY, CONNECT_BY_KPROBE, CONNECT_BY_SYSCALL],
        need: Need::Wanted,
        provides: &[Signal::ConnectErrors, Signal::UnixConnections, Signal::UnixEnds],
        costs: "connects that fail at once: no route, no permission, no port, and all unix sockets",
    },
    Hook {
        name: "inet_sock_set_state",
        methods: &[AttachMethod { probes: &[raw("inet_sock_set_state")] }],
        need: Need::Required,
        provides: &[Signal::Connections],
        costs: "all TCP attempts",
    },
    Hook {
        name: "tcp_connect",
        methods: &[
            AttachMethod { probes: &[probe("tcp_connect_fentry", Attach::Fentry("tcp_connect"))] },
            AttachMethod { probes: &[probe("tcp_connect_kprobe", Attach::Kprobe("tcp_connect"))] },
        ],
        need: Need::Extra,
        provides: &[Signal::LocalPorts],
        costs: "the local port before the first answer (replies dropped before they reach their socket)",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_cause_rests_on_is_given_by_a_hook() {
        for cause in CAUSES {
            for sight in cause.needs {
                let given = HOOKS.iter().any(|hook| hook.provides.contains(sight));
                assert!(given, "no hook gives {sight:?}, which {} rests on", cause.id);
                assert!(!sight.for_all(), "{} need not say that it rests on {sight:?}", cause.id);
            }
        }
    }

    #[test]
    fn verdicts_rest_on_what_each_hook_provides() {
        for hook in HOOKS {
            assert_eq!(Signal::of_hook(hook.name), hook.provides, "{}", hook.name);
        }
    }

    #[test]
    fn every_hook_is_there_for_a_cause() {
        for hook in HOOKS {
            assert!(hook.affected_causes().is_none_or(|causes| !causes.is_empty()), "{}", hook.name);
        }
        let drops = HOOKS.iter().find(|hook| hook.name == "kfree_skb").and_then(Hook::affected_causes);
        assert!(drops.is_some_and(|causes| causes.contains(&"firewall-drop-local")));
    }
}
