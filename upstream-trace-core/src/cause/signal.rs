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

impl Signal {
    /// Every cause needs it: none has to declare it.
    #[must_use]
    pub fn for_all(self) -> bool {
        matches!(self, Self::Connections | Self::Workers | Self::Upgrades)
    }
}
