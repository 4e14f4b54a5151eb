//! The name server: every name has the origin's address, and no other.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context as _, Result};

use super::origin::FAR;

/// Where it listens.
pub(in crate::soak) const PORT: u16 = 5300;
/// Names that begin so are answered over TCP only.
const OVER_TCP: &[u8] = b"tcp";

/// Answers on a thread of its own.
pub(super) fn over_udp() -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT)).context("cannot be a name server")?;
    thread::spawn(move || {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            if let Some(answer) = answer(&packet[..length], false) {
                let _lost = socket.send_to(&answer, from);
            }
        }
    });
    Ok(())
}

/// Answers all questions of a connection, each with its length in front.
pub(super) fn over_tcp(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        let answer = answer(&question, true).ok_or(io::ErrorKind::InvalidData)?;
        let length = u16::try_from(answer.len()).unwrap_or_default();
        stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
    }
}

/// The question again, as an answer; `None` for what is no question.
fn answer(question: &[u8], tcp: bool) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|byte| *byte == 0)?;
    let mut answer = question.get(..12 + name + 5)?.to_vec();
    let must_be_tcp = question.get(13..)?.starts_with(OVER_TCP) && !tcp;
    answer[2] = if must_be_tcp { 0x83 } else { 0x81 };
    answer[3] = 0x80;
    answer[6..12].fill(0);
    if !must_be_tcp && answer.ends_with(&[0, 1, 0, 1]) {
        answer[7] = 1;
        // The name of the question, an address, of the Internet, for a second, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(FAR.parse::<Ipv4Addr>().ok()?.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, of_kind: u8) -> Vec<u8> {
        let mut bytes = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, u8::try_from(name.len()).unwrap()];
        bytes.extend(name.as_bytes());
        bytes.extend([0, 0, of_kind, 0, 1]);
        bytes
    }

    #[test]
    fn answers() {
        let address = answer(&question("name", 1), false).unwrap();
        assert!(address.ends_with(&[10, 99, 0, 2]) && address[7] == 1 && address[..2] == [7, 7]);
        let none = answer(&question("name", 28), false).unwrap();
        assert_eq!(none.len(), question("name", 28).len());
        let truncated = answer(&question("tcp1", 1), false).unwrap();
        assert!(truncated[2] & 2 == 2 && truncated[7] == 0);
        assert!(answer(&question("tcp1", 1), true).unwrap().ends_with(&[10, 99, 0, 2]));
        assert_eq!(answer(b"short", false), None);
    }
}
