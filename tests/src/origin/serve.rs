//! One connection of an origin, step by step.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::{Ending, Script, Shared, Step};

/// How often a thread looks whether it is told to end.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// Why the steps ended.
struct End(Option<Ending>);

struct Serving<'a> {
    socket: &'a Socket,
    shared: &'a Shared,
    /// The order to close that was in force when the connection began.
    closing: u64,
    buffer: Vec<u8>,
}

pub(super) fn connection(socket: Socket, script: &Script, shared: &Shared) {
    let _timeouts_are_for_stopping =
        (socket.set_read_timeout(Some(TICK)), socket.set_write_timeout(Some(Duration::from_secs(10))));
    let closing = shared.closing.load(Ordering::SeqCst);
    let mut serving = Serving { socket: &socket, shared, closing, buffer: Vec::new() };
    let End(ending) = serving.run(&script.steps);
    if ending == Some(Ending::Rst) {
        let _unless_closed = socket.set_linger(Some(Duration::ZERO));
    }
    drop(socket);
}

impl Serving<'_> {
    fn run(&mut self, steps: &[Step]) -> End {
        loop {
            match steps.iter().try_for_each(|step| self.step(step)) {
                Err(Some(end)) => return end,
                Err(None) => {}
                Ok(()) => return End(None),
            }
        }
    }

    /// Does a step; `Err(None)` means again from the begin.
    fn step(&mut self, step: &Step) -> Result<(), Option<End>> {
        match step {
            Step::Request => self.request(),
            Step::Head => self.head(),
            Step::Bytes => {
                while self.buffer.is_empty() {
                    self.read()?;
                }
                Ok(())
            }
            Step::Send(bytes) => (&*self.socket).write_all(bytes).map_err(|_| Some(End(None))),
            Step::Sleep(time) => self.sleep(*time),
            Step::UntilClosed => loop {
                self.read()?;
            },
            Step::Hold => self.sleep(Duration::from_hours(1)),
            Step::Close => Err(Some(End(Some(Ending::Fin)))),
            Step::Reset => Err(Some(End(Some(Ending::Rst)))),
            Step::CloseIfIdle(idle) => {
                self.first_bytes(*idle)?;
                Err(None)
            }
            Step::Again => Err(None),
        }
    }

    fn request(&mut self) -> Result<(), Option<End>> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let total = end + length.unwrap_or(0_usize);
        while self.buffer.len() < total {
            self.read()?;
        }
        self.buffer.drain(..total);
        Ok(())
    }

    /// Reads byte by byte, so that the body stays unread.
    fn head(&mut self) -> Result<(), Option<End>> {
        let mut byte = [0];
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match (&*self.socket).read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Err(error) if waiting(&error) => self.check()?,
                _ => return Err(Some(End(None))),
            }
        }
        Ok(())
    }

    fn first_bytes(&mut self, idle: Duration) -> Result<(), Option<End>> {
        let begin = Instant::now();
        let before = self.buffer.len();
        while self.buffer.len() == before {
            if begin.elapsed() >= idle {
                return Err(Some(End(Some(Ending::Fin))));
            }
            self.read()?;
        }
        Ok(())
    }

    /// Reads what comes within a tick.
    fn read(&mut self) -> Result<(), Option<End>> {
        self.check()?;
        let mut bytes = [0; 16384];
        match (&*self.socket).read(&mut bytes) {
            Ok(0) => Err(Some(End(None))),
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) if waiting(&error) => Ok(()),
            Err(_) => Err(Some(End(None))),
        }
    }

    fn sleep(&self, time: Duration) -> Result<(), Option<End>> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.check()?;
            thread::sleep(TICK.min(time.saturating_sub(begin.elapsed())));
        }
        Ok(())
    }

    /// Ends the script if the origin ends or was told to close its connections.
    fn check(&self) -> Result<(), Option<End>> {
        let closing = self.shared.closing.load(Ordering::SeqCst);
        if closing != self.closing {
            let reset = (closing - self.closing) % 2 == 1;
            return Err(Some(End(Some(if reset { Ending::Rst } else { Ending::Fin }))));
        }
        if self.shared.stop.load(Ordering::SeqCst) { Err(Some(End(None))) } else { Ok(()) }
    }
}

fn waiting(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
