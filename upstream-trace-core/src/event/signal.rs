//! Kernel signals: each hook gives some, each cause needs some. Both declare them, so that what is lost without a hook
//! follows.

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
}

/// Which hook gives what, by the names that recordings have: those of earlier releases stay.
const HOOKS: &[(&str, &[Signal])] = &[
    ("inet_sock_set_state", &[Signal::Connections]),
    ("tcp_destroy_sock", &[Signal::Connections]),
    ("kfree_skb", &[Signal::Drops]),
    ("tcp_receive_reset", &[Signal::Resets]),
    ("tcp_retransmit_skb", &[Signal::Retransmits]),
    ("inet_sk_error_report", &[Signal::Icmp]),
    ("tcp_send_reset", &[Signal::ResetsSent]),
    ("sock_send_length", &[Signal::Requests]),
    ("sock_recv_length", &[Signal::Answers]),
    ("sched_process_fork", &[Signal::Workers]),
    ("sched_process_exec", &[Signal::Upgrades]),
    ("sched_process_exit", &[Signal::Exits]),
    ("connect", &[Signal::ConnectErrors, Signal::UnixConnections, Signal::UnixEnds]),
    ("sys_exit_connect", &[Signal::ConnectErrors, Signal::UnixConnections]),
    ("tcp_connect", &[Signal::LocalPorts]),
];

impl Signal {
    /// What the hook of this name gives; nothing if it is not known.
    #[must_use]
    pub fn of_hook(name: &str) -> &'static [Self] {
        HOOKS.iter().find(|(hook, _)| *hook == name).map_or(&[], |(_, signals)| *signals)
    }

    /// Every cause needs it: none has to declare it.
    #[must_use]
    pub fn for_all(self) -> bool {
        matches!(self, Self::Connections | Self::Workers | Self::Upgrades)
    }
}
