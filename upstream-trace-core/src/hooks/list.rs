//! The list of all hooks, and of the signals that they give: causes declare which signals they need, so that what is lost
//! without a hook follows.

use super::{Attach, AttachMethod, Concerns, Hook, Need, Probe, When};

/// One kind of thing that can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Births and ends of TCP connections; without it there is nothing to judge.
    Connections,
    /// Packets that this host dropped, with reason and place.
    Drops,
    /// RST that came in.
    Resets,
    /// RST that this host's own sockets sent.
    ResetsSent,
    /// Segments sent again.
    Retransmits,
    /// ICMP errors, with type, code and sender.
    Icmp,
    /// What nginx sends on a connection, and when.
    Requests,
    /// What nginx reads from a connection, and when.
    Answers,
    /// Errors of `connect()` itself.
    ConnectErrors,
    /// Births of connections to unix sockets.
    UnixConnections,
    /// The moment at which nginx closes a unix socket.
    UnixEnds,
    /// Local ports before the first answer.
    LocalPorts,
    /// New processes of nginx.
    Workers,
    /// Processes of nginx that run another program.
    Upgrades,
    /// Ends of nginx's processes, and of origins on this host.
    Exits,
    /// Lines of an error.log that is read nowhere else.
    Lines,
}

impl Signal {
    /// Whether a single one that is missed can make a verdict wrong. Of the others, error.log or `/proc` tell as well, or less is
    /// told.
    #[must_use]
    pub const fn decides(self) -> bool {
        match self {
            Self::Connections
            | Self::Drops
            | Self::Resets
            | Self::ResetsSent
            | Self::Retransmits
            | Self::Icmp
            | Self::Requests
            | Self::Answers => true,
            Self::ConnectErrors
            | Self::UnixConnections
            | Self::UnixEnds
            | Self::LocalPorts
            | Self::Workers
            | Self::Upgrades
            | Self::Exits
            | Self::Lines => false,
        }
    }

    /// Which attempts it is about.
    #[must_use]
    pub const fn concerns(self) -> Concerns {
        match self {
            Self::Connections => Concerns::All,
            Self::Workers | Self::Upgrades | Self::Lines => Concerns::Nobody,
            Self::Drops | Self::Icmp | Self::ResetsSent => Concerns::Tcp,
            Self::Resets | Self::Retransmits => Concerns::TcpBegun,
            Self::LocalPorts => Concerns::TcpConnecting,
            Self::UnixConnections | Self::UnixEnds => Concerns::Unix,
            Self::ConnectErrors => Concerns::AtOnce,
            Self::Requests | Self::Answers => Concerns::Connected,
            Self::Exits => Concerns::NotConnecting,
        }
    }
}

const fn probe(program: &'static str, attach: Attach) -> Probe {
    Probe { program, attach, when: When::Always }
}

const fn raw(name: &'static str) -> Probe {
    probe(name, Attach::Raw(name))
}

const fn stand_in(program: &'static str, attach: Attach) -> Probe {
    Probe { program, attach, when: When::Preempted }
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
        // Of several programs at a function the kernel calls the one first that was attached last (5.5 to 7.2).
        stand_in("unix_release_fentry_stand_in", Attach::Fentry("unix_release")),
        probe("unix_release_fentry", Attach::Fentry("unix_release")),
        probe("inet_stream_connect_fexit", Attach::Fexit("inet_stream_connect")),
        stand_in("unix_stream_connect_fexit_stand_in", Attach::Fexit("unix_stream_connect")),
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

/// Slows every system call of the host as well, while it is attached.
const WRITE_BY_SYSCALL: AttachMethod = AttachMethod {
    probes: &[syscall("sys_enter_write", When::OnLog), syscall("sys_enter_sendto", When::OnLog)],
};

const SEND_BY_TRACEPOINT: AttachMethod = AttachMethod {
    probes: &[
        raw("sock_send_length"),
        stand_in("sock_send_length_stand_in", Attach::Raw("sock_send_length")),
    ],
};

const RECEIVE_BY_TRACEPOINT: AttachMethod = AttachMethod {
    probes: &[
        raw("sock_recv_length"),
        stand_in("sock_recv_length_stand_in", Attach::Raw("sock_recv_length")),
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
        methods: &[SEND_BY_TRACEPOINT, SEND_BY_FENTRY, SEND_BY_KPROBE],
        need: Need::Wanted,
        provides: &[Signal::Requests],
        costs: "requests: nothing can be said of established connections",
    },
    Hook {
        name: "sock_recv_length",
        methods: &[RECEIVE_BY_TRACEPOINT, RECEIVE_BY_FENTRY, RECEIVE_BY_KPROBE],
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
        name: "write",
        methods: &[WRITE_BY_SYSCALL],
        need: Need::Extra,
        provides: &[Signal::Lines],
        costs: "lines of an error.log that goes to a pipe or to syslog, where nobody keeps them",
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
        methods: &[AttachMethod {
            probes: &[
                raw("inet_sock_set_state"),
                stand_in("inet_sock_set_state_stand_in", Attach::Raw("inet_sock_set_state")),
            ],
        }],
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
