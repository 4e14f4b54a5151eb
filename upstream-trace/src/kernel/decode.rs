//! From the bytes of the ring buffer to events. Everything is checked: a broken or foreign kernel side must neither
//! make the program panic nor produce garbage events.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use upstream_trace_common::{
    Addr, AttemptEvent, ConnectFailed, DnsMessage, End, EventHeader, EventKind, OriginExit, PacketEvent,
    ProcessEvent, Record, RetryEvent, StepKind, TRAIL, UnixPath, UpstreamCounters, flags, tls,
};
use upstream_trace_core::event::{
    Attempt, AttemptId, ConnectError, Ended, Event, IcmpError, Moment, Nanos, PacketDrop, PacketTuple,
    ResetSent, Socket, Step, Upstream, UpstreamSample,
};
use upstream_trace_core::http;

use super::btf::Layout;
use super::symbols::LateSymbols;

const AF_UNIX: u16 = 1;
const LOOPBACK_IFINDEX: u32 = 1;

/// What a message of the ring buffer was.
#[derive(Debug)]
pub enum Message {
    /// An event for the engine.
    Event(Box<Event>),
    /// Something about a process; what it means has to be looked up.
    Process(EventKind, ProcessEvent),
    /// A process asked a name server, or heard from it.
    Dns(Box<DnsMessage>),
    /// A process of an origin ended; which upstream it served has to be looked up.
    OriginExit(OriginExit),
}

/// Turns bytes into events; `path` finds a unix path by its number.
#[derive(Debug)]
pub struct Decoder<'a> {
    /// Names of reasons.
    pub layout: &'a Layout,
    /// Names of functions; only a drop needs them.
    pub symbols: &'a LateSymbols,
}

impl Decoder<'_> {
    /// Decodes one message; `None` if it is too short or of an unknown kind.
    pub fn message(&self, bytes: &[u8], path: impl FnMut(u32) -> Option<UnixPath>) -> Option<Message> {
        let header: EventHeader = read(bytes)?;
        let event = match EventKind::from_u32(header.kind)? {
            EventKind::End => Event::End(self.attempt(&read::<Record>(bytes)?, path)?),
            EventKind::Trouble => Event::Trouble(self.attempt(&read::<Record>(bytes)?, path)?),
            EventKind::ErrorStatus => {
                let record: Record = read(bytes)?;
                let status = http::status(&record.head);
                Event::End(Attempt { error_status: Some(status?), ..self.attempt(&record, path)? })
            }
            EventKind::Dns => return Some(Message::Dns(Box::new(read(bytes)?))),
            EventKind::Drop => Event::Drop(self.packet_drop(&read::<PacketEvent>(bytes)?)),
            EventKind::ResetSent => Event::ResetSent(self.reset_sent(&read::<PacketEvent>(bytes)?)?),
            EventKind::ConnectFailed => Event::ConnectError(connect_error(&read::<ConnectFailed>(bytes)?)?),
            EventKind::RetryStarted => {
                let retry: RetryEvent = read(bytes)?;
                let upstream = to(&retry.remote, path);
                Event::RetryStarted {
                    at: header.now_ns,
                    failed: AttemptId::from_kernel(retry.failed),
                    retry: AttemptId::from_kernel(retry.retry),
                    upstream,
                }
            }
            EventKind::RetryAnswered => {
                let retry: RetryEvent = read(bytes)?;
                let upstream = to(&retry.remote, path);
                Event::RetryAnswered {
                    at: header.now_ns,
                    failed: AttemptId::from_kernel(retry.failed),
                    retry: AttemptId::from_kernel(retry.retry),
                    upstream,
                }
            }
            EventKind::Answered => {
                let id = AttemptId::from_kernel(read::<AttemptEvent>(bytes)?.id);
                Event::Answered { at: header.now_ns, attempt: id }
            }
            EventKind::ClientGone => {
                let id = AttemptId::from_kernel(read::<AttemptEvent>(bytes)?.id);
                Event::ClientGone { at: header.now_ns, attempt: id }
            }
            EventKind::OriginExit => return Some(Message::OriginExit(read(bytes)?)),
            kind @ (EventKind::Fork | EventKind::Exec | EventKind::Exit) => {
                return Some(Message::Process(kind, read(bytes)?));
            }
        };
        Some(Message::Event(Box::new(event)))
    }

    /// A record as an attempt; `None` if its address makes no sense.
    pub fn attempt(&self, record: &Record, mut path: impl FnMut(u32) -> Option<UnixPath>) -> Option<Attempt> {
        let has = |bits: u32| record.flags & bits != 0;
        let upstream = if has(flags::UNIX) {
            path(record.path_id).map(|path| Upstream::Unix(path_text(path.as_bytes())))
        } else {
            Some(Upstream::Tcp(socket_addr(&record.remote)?))
        };
        let seen = record.header.now_ns;
        Some(Attempt {
            id: AttemptId::from_kernel(record.id),
            seen,
            retry_of: some(record.retry_of).map(AttemptId::from_kernel),
            worker: record.tgid,
            netns: record.netns,
            upstream,
            local: socket_addr(&record.local).filter(|local| local.port() != 0),
            ended: ended(record),
            begun: record.born_ns,
            established: if has(flags::ESTABLISHED) { Some(record.established_ns) } else { None },
            request: some(record.request_ns),
            last_send: some(record.last_send_ns),
            answer: some(record.first_recv_ns),
            last_recv: some(record.last_recv_ns),
            fin: some(record.fin_ns),
            reset: some(record.reset_ns),
            bytes_sent: record.app_sent,
            bytes_received: record.app_received,
            requests: record.requests,
            adopted: has(flags::ADOPTED),
            reused: record.requests > 1 || has(flags::ADOPTED) && record.last_recv_ns != 0,
            outstanding: has(flags::OUTSTANDING),
            sent_after_fin: has(flags::SENT_AFTER_FIN),
            unacked_at_end: has(flags::UNACKED_AT_END),
            // What the kernel has taken and cannot send is what a full buffer looks like from inside.
            send_blocked: has(flags::SEND_BLOCKED) || has(flags::BY_SOCKET) && socket(record).unsent > 0,
            send_error: has(flags::SEND_ERROR),
            recv_error: has(flags::RECV_ERROR),
            idle_probe: has(flags::IDLE_PROBE),
            error_fetched: has(flags::ERROR_FETCHED),
            client_gone: has(flags::CLIENT_GONE),
            client_cut: has(flags::CLIENT_CUT),
            worker_exiting: has(flags::WORKER_EXITING),
            no_local_port: has(flags::NO_LOCAL_PORT),
            error_status: None,
            by_socket: has(flags::BY_SOCKET),
            in_doubt: has(flags::IN_DOUBT),
            tls: has(flags::TLS),
            tls_handshake: has(flags::TLS_HANDSHAKE),
            non_tls_prefix: foreign(record),
            drops: record.drops,
            retransmits: record.retransmits,
            retransmits_failed: record.retransmits_failed,
            icmp: icmp(record),
            socket: socket(record),
            trail: self.trail(record),
            trail_lost: record.trail_lost,
        })
    }

    fn trail(&self, record: &Record) -> Vec<Moment> {
        let len = usize::from(record.trail_len).min(TRAIL);
        let steps = record.trail[..len].iter();
        steps
            .filter_map(|step| {
                Some(Moment {
                    at: step.at_ns,
                    step: self.step(StepKind::from_u8(step.kind)?, step.arg),
                    count: step.count,
                    span_ms: step.span_ms,
                })
            })
            .collect()
    }

    fn step(&self, kind: StepKind, arg: i32) -> Step {
        match kind {
            StepKind::SynSent => Step::SynSent,
            StepKind::Retransmit => Step::Retransmit { errno: arg.saturating_abs() },
            StepKind::Established => Step::Established,
            StepKind::Request => Step::Request { bytes: arg },
            StepKind::Response => Step::Response { bytes: arg },
            StepKind::Fin => Step::Fin { unacked: arg },
            StepKind::Reset => Step::Reset { unacked: arg },
            StepKind::Dropped => Step::Dropped { reason: self.drop_reason(u32::try_from(arg).unwrap_or(0)) },
            StepKind::Icmp => {
                let [code, kind, ..] = arg.to_le_bytes();
                Step::Icmp { kind, code }
            }
            StepKind::Error => Step::Error { errno: arg },
            StepKind::SendBlocked => Step::SendBlocked,
            StepKind::SendError => Step::SendError { errno: arg },
            StepKind::RecvError => Step::RecvError { errno: arg },
            StepKind::Eof => Step::Eof,
            StepKind::Closed => Step::Closed,
            StepKind::SynAckAgain => Step::SynAckAgain,
            StepKind::TlsHello => Step::TlsHello { bytes: arg },
            StepKind::TlsAnswer => Step::TlsAnswer { bytes: arg },
            StepKind::TlsAlert => Step::TlsAlert { alert: u8::try_from(arg).ok() },
            StepKind::TlsRefused => Step::TlsRefused { alert: u8::try_from(arg).ok() },
            StepKind::TlsDone => Step::TlsDone,
        }
    }

    fn drop_reason(&self, number: u32) -> String {
        self.layout.drop_reasons.get(&number).cloned().unwrap_or_else(|| format!("reason {number}"))
    }

    fn packet_drop(&self, packet: &PacketEvent) -> PacketDrop {
        let reason = self.drop_reason(packet.reason);
        let netfilter = if reason == "NETFILTER_DROP" && packet.has_stack != 0 {
            self.symbols.get().netfilter(&packet.stack)
        } else {
            None
        };
        PacketDrop {
            at: packet.header.now_ns,
            attempt: some(packet.id).map(AttemptId::from_kernel),
            tuple: tuple(packet),
            asked: asked(packet),
            tcp_flags: packet.tcp_flags,
            reason,
            netns: packet.netns,
            function: self.symbols.get().name(packet.location).map(str::to_owned),
            netfilter,
        }
    }

    fn reset_sent(&self, packet: &PacketEvent) -> Option<ResetSent> {
        let function = if packet.has_stack != 0 { self.symbols.get().of_reset(&packet.stack) } else { None };
        Some(ResetSent {
            at: packet.header.now_ns,
            tuple: tuple(packet)?,
            reason: self.layout.reset_reasons.get(&packet.reason).cloned().unwrap_or_default(),
            function,
            netns: packet.netns,
        })
    }
}

/// Counters as an event.
#[must_use]
pub fn sample(at: Nanos, upstream: Option<Upstream>, counters: &UpstreamCounters) -> UpstreamSample {
    let wide = |histogram: &[u32]| histogram.iter().map(|count| u64::from(*count)).collect();
    UpstreamSample {
        at,
        upstream,
        attempts: counters.attempts,
        established: counters.established,
        requests: counters.requests,
        answers: counters.answers,
        last_established: counters.last_established_ns,
        last_answer: counters.last_answer_ns,
        sub_bits: 0,
        connect: wide(&counters.connect),
        first_byte: wide(&counters.first_byte),
    }
}

/// A socket address of the kernel side; `None` for other families.
#[must_use]
pub fn socket_addr(addr: &Addr) -> Option<SocketAddr> {
    SocketAddr::try_from(addr).ok()
}

/// A socket address as the kernel side has it.
#[must_use]
pub fn key(address: SocketAddr) -> Addr {
    address.into()
}

/// A unix path as text: abstract names begin with `@`.
#[must_use]
pub fn path_text(bytes: &[u8]) -> String {
    UnixPath::from(bytes).to_string()
}

/// An address of the counters: unix paths by their number.
fn to(remote: &Addr, mut path: impl FnMut(u32) -> Option<UnixPath>) -> Option<Upstream> {
    if remote.family == AF_UNIX {
        let [a, b, c, d, ..] = remote.ip;
        return path(u32::from_ne_bytes([a, b, c, d])).map(|path| Upstream::Unix(path_text(path.as_bytes())));
    }
    socket_addr(remote).map(Upstream::Tcp)
}

fn connect_error(failed: &ConnectFailed) -> Option<ConnectError> {
    let upstream = if failed.remote.family == AF_UNIX {
        Upstream::Unix(path_text(failed.path.as_bytes()))
    } else {
        Upstream::Tcp(socket_addr(&failed.remote)?)
    };
    Some(ConnectError {
        id: AttemptId::from_kernel(failed.id),
        at: failed.header.now_ns,
        retry_of: some(failed.retry_of).map(AttemptId::from_kernel),
        worker: failed.header.tgid,
        netns: failed.netns,
        upstream,
        errno: i32::try_from(failed.errno).unwrap_or(0),
        took: failed.took_ns,
        had_syn_sent: failed.had_syn_sent != 0,
    })
}

fn tuple(packet: &PacketEvent) -> Option<PacketTuple> {
    let (src, dst) = (socket_addr(&packet.src)?, socket_addr(&packet.dst)?);
    Some(PacketTuple { src, dst })
}

fn asked(packet: &PacketEvent) -> Option<PacketTuple> {
    let [src, dst] = &packet.asked;
    Some(PacketTuple { src: socket_addr(src)?, dst: socket_addr(dst)? })
}

fn ended(record: &Record) -> Ended {
    match End::from_u8(record.end) {
        Some(End::Open) => Ended::Open,
        Some(End::Closed) => Ended::ClosedByNginx,
        Some(End::Destroyed) => Ended::Broken,
        Some(End::Reborn | End::Vanished) | None => Ended::Vanished,
    }
}

fn icmp(record: &Record) -> Option<IcmpError> {
    let icmp = &record.icmp;
    if icmp.present == 0 {
        return None;
    }
    let [a, b, c, d, ..] = icmp.from;
    Some(IcmpError {
        kind: icmp.kind,
        code: icmp.code,
        from: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        errno: i32::try_from(icmp.errno).unwrap_or(0),
        local: icmp.ifindex == LOOPBACK_IFINDEX,
    })
}

fn socket(record: &Record) -> Socket {
    let tcp = &record.tcp;
    let fin = u64::from(record.flags & flags::FIN_RECEIVED != 0);
    let syn = u64::from(record.flags & flags::ESTABLISHED != 0);
    Socket {
        unacked: tcp.write_seq.wrapping_sub(tcp.snd_una),
        unsent: tcp.write_seq.wrapping_sub(tcp.snd_nxt),
        unread: tcp.unread(fin != 0),
        received: tcp.bytes_received.saturating_sub(fin),
        acked: tcp.bytes_acked.saturating_sub(syn),
        peer_window: tcp.snd_wnd,
        srtt_us: tcp.srtt_us >> 3,
        total_retransmits: tcp.total_retrans,
        retransmits: tcp.retransmits,
        probes: tcp.probes,
        error: i32::try_from(tcp.err).unwrap_or(0),
        soft_error: i32::try_from(tcp.err_soft).unwrap_or(0),
        ..Socket::default()
    }
}

/// What came in answer to a TLS handshake and is no TLS.
fn foreign(record: &Record) -> Option<String> {
    let handshake = record.flags & flags::TLS_HANDSHAKE != 0;
    let len = record.head.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let foreign = handshake && len > 0 && record.head[0] != tls::ALERT;
    foreign.then(|| record.head[..len].escape_ascii().to_string())
}

fn some(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

/// Copies a structure out of the buffer; `None` if the buffer is too short.
fn read<T: aya::Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough, as just checked; Pod types are valid for every bit pattern; read_unaligned asks for no
    // alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Whether a message is the end of an attempt, which the kernel side counts as reported.
#[must_use]
pub fn ends_attempt(bytes: &[u8]) -> bool {
    let kind = read::<EventHeader>(bytes).and_then(|header| EventKind::from_u32(header.kind));
    matches!(kind, Some(EventKind::End | EventKind::ConnectFailed))
}

#[cfg(test)]
mod tests {
    use super::super::symbols::Symbols;
    use super::*;

    /// The event that these words, in the order of the structure, are decoded to.
    fn decode(kind: EventKind, words: &[u64]) -> Option<Event> {
        let header = [7, u64::from(kind as u32)];
        let bytes: Vec<u8> = header.iter().chain(words).flat_map(|word| word.to_ne_bytes()).collect();
        let (layout, symbols) = (Layout::default(), LateSymbols::from(Symbols::default()));
        match (Decoder { layout: &layout, symbols: &symbols }).message(&bytes, |_| None)? {
            Message::Event(event) => Some(*event),
            _ => None,
        }
    }

    #[test]
    fn events_that_need_only_the_number_of_an_attempt() {
        assert_eq!(
            decode(EventKind::Answered, &[5]),
            Some(Event::Answered { at: 7, attempt: AttemptId::from_kernel(5) })
        );
        assert_eq!(
            decode(EventKind::ClientGone, &[5]),
            Some(Event::ClientGone { at: 7, attempt: AttemptId::from_kernel(5) })
        );
        assert_eq!(decode(EventKind::ClientGone, &[]), None);
    }

    #[test]
    fn how_a_record_ended() {
        for (end, expected) in [
            (End::Open as u8, Ended::Open),
            (End::Closed as u8, Ended::ClosedByNginx),
            (End::Destroyed as u8, Ended::Broken),
            (End::Reborn as u8, Ended::Vanished),
            (End::Vanished as u8, Ended::Vanished),
            (u8::MAX, Ended::Vanished),
        ] {
            assert_eq!(ended(&Record { end, ..Record::ZERO }), expected, "{end}");
        }
    }
}
