//! A name server that gives one answer to every question.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};

use super::serve::TICK;
use crate::netns::Namespace;

/// What a name server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// This address.
    Address(Ipv4Addr),
    /// This error: 2 server failure, 3 no such name, 5 refused.
    Error(u8),
    /// This address over TCP; over UDP that the answer is too long.
    OverTcp(Ipv4Addr),
    /// This address, with another number than the question.
    Misnumbered(Ipv4Addr),
    /// An address that nobody asked for: a text record.
    Useless,
    /// Nothing.
    Nothing,
}

/// A running name server; ends on drop.
#[derive(Debug)]
pub struct Dns {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Dns {
    /// Starts one.
    pub fn start(namespace: &Namespace, address: &str, says: Says) -> Result<Self> {
        let socket = namespace.run(|| UdpSocket::bind(address).with_context(|| format!("bind {address}")))?;
        socket.set_read_timeout(Some(TICK))?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let mut threads = Vec::new();
        if matches!(says, Says::OverTcp(_)) {
            threads.push(serve_tcp(namespace, address, says, &stop)?);
        }
        threads.push(thread::spawn(move || {
            let mut packet = [0; 1500];
            while !stopped.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                if let Some(answer) = answer(&packet[..length], says, false) {
                    let _lost = socket.send_to(&answer, from);
                }
            }
        }));
        Ok(Self { stop, threads })
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// Answers each question that comes over TCP, with its length in front.
fn serve_tcp(
    namespace: &Namespace,
    address: &str,
    says: Says,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<()>> {
    let listener = namespace.run(|| TcpListener::bind(address).with_context(|| format!("bind {address}")))?;
    listener.set_nonblocking(true)?;
    let stopped = Arc::clone(stop);
    Ok(thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            let Ok((mut stream, _)) = listener.accept() else {
                thread::sleep(TICK);
                continue;
            };
            let waits = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(10 * TICK)));
            // nginx asks for both families on one connection, and keeps it.
            while waits.is_ok() && answer_one(&mut stream, says).is_ok() {}
        }
    }))
}

fn answer_one(stream: &mut TcpStream, says: Says) -> io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question)?;
    let Some(answer) = answer(&question, says, true) else { return Ok(()) };
    let length = u16::try_from(answer.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())
}

/// The question again, as an answer; `None` for silence and for what is no question.
fn answer(question: &[u8], says: Says, tcp: bool) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|byte| *byte == 0)?;
    let mut answer = question.get(..12 + name + 5)?.to_vec();
    let asks_for_ipv4 = answer.ends_with(&[0, 1, 0, 1]);
    let code = match says {
        Says::Nothing => return None,
        Says::Error(code) => code,
        Says::Address(_) | Says::OverTcp(_) | Says::Misnumbered(_) | Says::Useless => 0,
    };
    answer[2] = 0x81;
    answer[3] = 0x80 | code;
    answer[6..12].fill(0);
    if let (Says::OverTcp(_), false) = (says, tcp) {
        answer[2] |= 2;
        return Some(answer);
    }
    if says == Says::Useless {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 4, 3, b'n', b'o', b'!']);
    }
    if let Says::Misnumbered(_) = says {
        answer[0] ^= 0xff;
    }
    let address = match says {
        Says::Address(address) | Says::OverTcp(address) | Says::Misnumbered(address) => Some(address),
        _ => None,
    };
    if let (Some(address), true) = (address, asks_for_ipv4) {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_repeats_the_question() {
        let question = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
        let refused = answer(&question, Says::Error(5), false).unwrap();
        assert_eq!((&refused[..4], &refused[12..]), (&[7, 7, 0x81, 0x85][..], &question[12..]));
        let address = answer(&question, Says::Address(Ipv4Addr::LOCALHOST), false).unwrap();
        assert!(address[7] == 1 && address.ends_with(&[0, 4, 127, 0, 0, 1]));
        let cut = answer(&question, Says::OverTcp(Ipv4Addr::LOCALHOST), false).unwrap();
        assert!(cut[2] & 2 != 0 && cut[7] == 0);
        assert_eq!(answer(&question, Says::Nothing, false), None);
        assert_eq!(answer(&question[..9], Says::Error(5), false), None);
    }
}
