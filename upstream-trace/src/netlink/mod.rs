//! Questions to the kernel over netlink: one socket, one request at a time, every reply checked.

pub mod diag;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod link;
pub mod route;
mod tcp_info;

use std::fmt;
use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;

/// Large enough for what the kernel puts into one datagram of a dump (at most 32 KiB when the reader offers it).
const BUFFER: usize = 64 * 1024;
/// A dump that changed while it was read is read again this often.
const DUMP_ATTEMPTS: u32 = 3;
const HEADER: usize = 16;

/// Why a question got no answer.
#[derive(Debug)]
pub enum Error {
    /// The kernel answered with this errno.
    Refused(i32),
    /// The socket failed, or the kernel did not answer in time.
    Io(io::Error),
    /// The reply is malformed.
    Malformed,
}

impl Error {
    /// After such an error replies to an old request may still come; the socket should be opened again.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "the kernel refused: {}", io::Error::from_raw_os_error(*errno)),
            Self::Io(error) => write!(f, "netlink: {error}"),
            Self::Malformed => f.write_str("netlink: malformed reply"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What one datagram said about the whole reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Nothing more will come.
    finished: bool,
    /// What is listed changed while it was listed.
    interrupted: bool,
}

/// A netlink socket; it belongs to the network namespace in which it was opened.
#[derive(Debug)]
struct Channel {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Channel {
    fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::new(1, 0))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Asks for one thing.
    fn one<M>(&mut self, message: M) -> Result<M, Error>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        let mut found = None;
        self.ask(message, 0, &mut |reply| found = Some(reply))?;
        found.ok_or(Error::Malformed)
    }

    /// Asks for a list and keeps what `keep` makes of its entries. A list that goes on changing while it is read is
    /// given as it was read last.
    fn dump<M, T>(&mut self, message: &M, mut keep: impl FnMut(M) -> Option<T>) -> Result<Vec<T>, Error>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        let mut kept = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            kept.clear();
            let interrupted = self.ask(message.clone(), NLM_F_DUMP, &mut |reply| kept.extend(keep(reply)))?;
            if !interrupted {
                break;
            }
        }
        Ok(kept)
    }

    /// Sends a request and reads the whole reply; says whether the reply was interrupted.
    fn ask<M>(&mut self, message: M, flags: u16, each: &mut dyn FnMut(M)) -> Result<bool, Error>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut interrupted = false;
        loop {
            self.receive()?;
            let progress = read_datagram(&self.buffer, self.sequence, flags == NLM_F_DUMP, each)?;
            interrupted |= progress.interrupted;
            if progress.finished {
                return Ok(interrupted);
            }
        }
    }

    /// Fills the buffer with the next datagram of the kernel, whatever its size.
    fn receive(&mut self) -> Result<(), Error> {
        loop {
            self.buffer.clear();
            let result = self.socket.recv_from(&mut self.buffer, libc::MSG_TRUNC);
            match result {
                Ok((_, from)) if from.port_number() != 0 => {}
                Ok((size, _)) if size > self.buffer.len() => {
                    // The rest is lost; the next attempt has room for it.
                    self.buffer.reserve(size);
                    return Err(Error::Io(io::Error::from(io::ErrorKind::FileTooLarge)));
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Hands the messages of a datagram that belong to request `sequence` to `each`. A single message that cannot be
/// parsed is left out of a dump.
fn read_datagram<M>(
    bytes: &[u8],
    sequence: u32,
    dump: bool,
    each: &mut dyn FnMut(M),
) -> Result<Progress, Error>
where
    M: NetlinkDeserializable,
{
    let mut progress = Progress::default();
    let mut rest = bytes;
    while rest.len() >= HEADER {
        let Some((message, after)) = split_message(rest) else { return Err(Error::Malformed) };
        rest = after;
        if u32_at(message, 8) != Some(sequence) {
            continue;
        }
        let Ok(message) = NetlinkMessage::<M>::deserialize(message) else {
            if dump {
                continue;
            }
            return Err(Error::Malformed);
        };
        progress.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => {
                each(inner);
                progress.finished |= !dump;
            }
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(Error::Refused(done.code.saturating_neg()));
            }
            NetlinkPayload::Done(_) => progress.finished = true,
            NetlinkPayload::Error(error) => match error.raw_code() {
                0 => progress.finished = true,
                code => return Err(Error::Refused(code.saturating_neg())),
            },
            NetlinkPayload::Overrun(_) => progress.interrupted = true,
            _ => {}
        }
    }
    Ok(progress)
}

/// The first message of `bytes` and what follows it; `None` if its length is impossible.
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    if length < HEADER || length > bytes.len() {
        return None;
    }
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((&bytes[..length], &bytes[next..]))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_sock_diag::SockDiagMessage;

    fn header(length: u32, kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(payload);
        bytes
    }

    fn read(bytes: &[u8], dump: bool) -> Result<Progress, Error> {
        read_datagram::<SockDiagMessage>(bytes, 7, dump, &mut |_| ())
    }

    #[test]
    fn the_end_of_a_dump_finishes_and_carries_errors() {
        let done = header(20, 3, 0, 7, &0i32.to_ne_bytes());
        assert_eq!(read(&done, true).unwrap(), Progress { finished: true, interrupted: false });
        let failed = header(20, 3, 0, 7, &(-2i32).to_ne_bytes());
        assert!(matches!(read(&failed, true), Err(Error::Refused(2))));
        let interrupted = header(20, 3, NLM_F_DUMP_INTR, 7, &0i32.to_ne_bytes());
        assert_eq!(read(&interrupted, true).unwrap(), Progress { finished: true, interrupted: true });
    }

    #[test]
    fn replies_to_an_older_request_are_skipped() {
        let mut bytes = header(20, 3, 0, 6, &(-2i32).to_ne_bytes());
        assert_eq!(read(&bytes, true).unwrap(), Progress::default());
        bytes.extend(header(20, 3, 0, 7, &0i32.to_ne_bytes()));
        assert!(read(&bytes, true).unwrap().finished);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0, 1, 15, 21, u32::MAX] {
            let bytes = header(length, 3, 0, 7, &0i32.to_ne_bytes());
            assert!(matches!(read(&bytes, true), Err(Error::Malformed)), "{length}");
        }
    }

    #[test]
    fn an_unreadable_entry_costs_only_itself() {
        let mut bytes = header(20, 20, 0, 7, &[2, 1, 0, 0]);
        bytes.extend(header(20, 3, 0, 7, &0i32.to_ne_bytes()));
        assert!(read(&bytes, true).unwrap().finished);
        assert!(matches!(read(&bytes, false), Err(Error::Malformed)));
    }

    #[test]
    fn errors_carry_the_errno() {
        let mut payload = (-111i32).to_ne_bytes().to_vec();
        payload.extend([0; 16]);
        let bytes = header(36, 2, 0, 7, &payload);
        assert!(matches!(read(&bytes, false), Err(Error::Refused(111))));
    }
}
