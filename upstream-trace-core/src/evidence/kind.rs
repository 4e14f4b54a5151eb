//! The kinds of evidence: the one place where each has its id, its words for people and how it looks.

/// How a piece of evidence looks on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It speaks for a failure.
    Bad,
    /// It speaks against one.
    Good,
    /// Neither.
    Plain,
}

macro_rules! kinds {
    ($($name:ident $id:literal $look:ident $words:literal;)*) => {
        /// A kind of evidence. Ids (`what` in the output) are a contract: only ever added to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(clippy::doc_markdown, reason = "the words are for people; they are the docs as well")]
        pub enum Kind {
            $(#[doc = concat!("`", $id, "`: ", $words, ".")] $name,)*
        }

        impl Kind {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its id in all output, kebab-case.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }

            /// What it says, for people.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            /// How it looks.
            #[must_use]
            pub fn look(self) -> Look {
                match self {
                    $(Self::$name => Look::$look,)*
                }
            }
        }
    };
}

kinds! {
    // Steps of the connection.
    SynSent "syn-sent" Plain "nginx asked for a connection (SYN)";
    Retransmit "retransmit" Bad "no answer: retransmitted";
    Established "established" Good "connected";
    SynAckAgain "syn-ack-again" Plain "the origin retransmitted its SYN-ACK";
    Request "request" Plain "nginx sent the request";
    Response "response" Good "the response started";
    Fin "fin" Bad "the origin closed its side (FIN)";
    Reset "reset" Bad "the connection was reset (RST)";
    Dropped "dropped" Bad "a packet was dropped";
    Icmp "icmp" Bad "an ICMP error came back";
    Error "error" Bad "the socket got an error";
    SendBlocked "send-blocked" Bad "the send buffer is full: the origin does not read";
    SendError "send-error" Bad "sending failed";
    RecvError "recv-error" Bad "receiving failed";
    Eof "eof" Plain "nginx read the end of the stream";
    ClosedByNginx "closed-by-nginx" Plain "nginx closed the connection";
    TlsHello "tls-hello" Plain "nginx started the TLS handshake";
    TlsAnswer "tls-answer" Plain "the origin answered the TLS handshake";
    TlsAlert "tls-alert" Bad "the origin sent a TLS alert";
    TlsAlertSent "tls-alert-sent" Bad "nginx sent a TLS alert";
    TlsDone "tls-done" Good "the TLS handshake completed";
    // Lookups.
    QuerySent "query-sent" Plain "nginx asked a name server";
    Answer "answer" Plain "the name server answered";
    AnswerIgnored "answer-ignored" Bad "nginx discarded the name server's response";
    NoAnswer "no-answer" Bad "the name server did not answer";
    // What this kernel did.
    SynAckLate "syn-ack-late" Bad "its SYN-ACK came after nginx had given up";
    ResetSent "reset-sent" Bad "this machine's kernel sent a reset (RST)";
    OriginExit "origin-exit" Bad "a process of the origin ended";
    OriginClosed "origin-closed" Plain "a process of the origin ended its side of the connection";
    ConnectError "connect-error" Bad "connect() failed";
    Acked "acked" Plain "the origin's host acknowledged the request";
    Unacked "unacked" Bad "the origin's host did not acknowledge these bytes";
    // Looked up at the time of the failure.
    Route "route" Plain "looked up: the route";
    Neighbour "neighbour" Plain "looked up: the neighbour on the link";
    Listener "listener" Plain "looked up: the listener and its accept queue";
    ListensElsewhere "listens-elsewhere" Bad "looked up: the port is open on another address of this host only";
    ContainerAddress "container-address" Plain "looked up: the container whose address it is, and where that listens";
    NoListener "no-listener" Bad "looked up: nothing listens there";
    Conntrack "conntrack" Plain "looked up: the connection-tracking table";
    UnixPath "unix-path" Plain "looked up: what is at the socket's path";
    // Other attempts.
    SiblingEstablished "sibling-established" Plain "another connection to this upstream was established";
    SiblingAnswered "sibling-answered" Plain "this upstream answered another request";
    SiblingLate "sibling-late" Bad "the SYN-ACK of another connection came after nginx had given up";
    Siblings "siblings" Plain "other connections to this upstream";
    OtherPort "other-port" Plain "another port of this address answered";
    // nginx.
    Log "log" Plain "nginx wrote to its error.log";
}

impl Kind {
    /// The kind with this id.
    #[must_use]
    pub fn find(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_id_and_words() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::find(kind.id()), Some(*kind), "{} twice", kind.id());
            assert!(kind.id().bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()), "{}", kind.id());
            let others = &Kind::ALL[..index];
            assert!(!kind.words().is_empty() && others.iter().all(|other| other.words() != kind.words()));
        }
        assert_eq!(Kind::find("of-the-future"), None);
    }
}
