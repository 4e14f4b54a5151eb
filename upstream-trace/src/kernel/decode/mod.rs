//! From the bytes of the ring buffer to events. Everything is checked: a broken or foreign kernel side must neither
//! make the program panic nor produce garbage events.

mod attempt;

use std::net::SocketAddr;

use upstream_trace_common::{
    Addr, AttemptEvent, ConnectFailed, DnsMessage, EventHeader, EventKind, LogWrite, OriginClosed,
    OriginExit, PacketEvent, ProcessEvent, Record, RetryEvent, UnixPath, UpstreamCounters,
};
use upstream_trace_core::event::{
    Attempt, AttemptId, ConnectError, Event, Nanos, PacketDrop, PacketNumbers, PacketTuple, ResetSent,
    Upstream, UpstreamSample,
};
use upstream_trace_core::http;

use super::btf::Layout;
use super::symbols::LateSymbols;

const AF_UNIX: u16 = 1;

/// What a message of the ring buffer was.
#[derive(Debug)]
pub enum Message {
    /// An event for the engine.
    Event(Box<Event>),
    /// Something about a process; what it means has to be looked up.
    Process(EventKind, ProcessEvent),
    /// A process asked a name server, or heard from it.
    Dns(Box<DnsMessage>),
    /// A worker wrote what looks like a line of its error.log.
    LogWrite(Box<LogWrite>),
    /// A process of an origin ended; which upstream it served has to be looked up.
    OriginExit(OriginExit),
    /// A process ended the origin's side of a connection; where it runs has to be looked up.
    OriginClosed(OriginClosed),
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
            EventKind::LogWrite => return Some(Message::LogWrite(Box::new(read(bytes)?))),
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
            EventKind::OriginClosed => return Some(Message::OriginClosed(read(bytes)?)),
            kind @ (EventKind::Fork | EventKind::Exec | EventKind::Exit) => {
                return Some(Message::Process(kind, read(bytes)?));
            }
        };
        Some(Message::Event(Box::new(event)))
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
            numbers: numbers(packet).filter(|_| packet.id == 0),
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
            numbers: numbers(packet),
            reason: self.layout.reset_reasons.get(&packet.reason).cloned().unwrap_or_default(),
            function,
            netns: packet.netns,
            stranger: packet.asked[1].port != 0,
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

/// `None` if they were not read: no two numbers of a connection are both 0, but by chance.
fn numbers(packet: &PacketEvent) -> Option<PacketNumbers> {
    let [seq, ack] = packet.numbers.map(u32::from_be_bytes);
    (seq != 0 || ack != 0).then_some(PacketNumbers { seq, ack })
}

fn asked(packet: &PacketEvent) -> Option<PacketTuple> {
    let [src, dst] = &packet.asked;
    Some(PacketTuple { src: socket_addr(src)?, dst: socket_addr(dst)? })
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
mod tests;
