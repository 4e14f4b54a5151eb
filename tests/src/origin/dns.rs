//! A name server that gives one answer to every question.

use std::net::{Ipv4Addr, UdpSocket};
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
    /// Nothing.
    Nothing,
}

/// A running name server; ends on drop.
#[derive(Debug)]
pub struct Dns {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Starts one.
    pub fn start(namespace: &Namespace, address: &str, says: Says) -> Result<Self> {
        let socket = namespace.run(|| UdpSocket::bind(address).with_context(|| format!("bind {address}")))?;
        socket.set_read_timeout(Some(TICK))?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut packet = [0; 1500];
            while !stopped.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                if let Some(answer) = answer(&packet[..length], says) {
                    let _lost = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// The question again, as an answer; `None` for silence and for what is no question.
fn answer(question: &[u8], says: Says) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|byte| *byte == 0)?;
    let mut answer = question.get(..12 + name + 5)?.to_vec();
    let asks_for_ipv4 = answer.ends_with(&[0, 1, 0, 1]);
    let code = match says {
        Says::Nothing => return None,
        Says::Error(code) => code,
        Says::Address(_) => 0,
    };
    answer[2] = 0x81;
    answer[3] = 0x80 | code;
    answer[6..12].fill(0);
    if let (Says::Address(address), true) = (says, asks_for_ipv4) {
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
        let refused = answer(&question, Says::Error(5)).unwrap();
        assert_eq!((&refused[..4], &refused[12..]), (&[7, 7, 0x81, 0x85][..], &question[12..]));
        let address = answer(&question, Says::Address(Ipv4Addr::LOCALHOST)).unwrap();
        assert!(address[7] == 1 && address.ends_with(&[0, 4, 127, 0, 0, 1]));
        assert_eq!(answer(&question, Says::Nothing), None);
        assert_eq!(answer(&question[..9], Says::Error(5)), None);
    }
}
