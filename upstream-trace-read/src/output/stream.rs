//! Standard output and standard error of the process.
//!
//! A command that ends by itself writes to them directly: whoever reads slowly gets everything. A trace asks for
//! [`queue`]s, so that nobody who reads can hold it up.

use std::io::{self, IsTerminal, Stderr, Stdout, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::queue::{Queue, Stream as Target};

/// Bytes of results that may wait for their reader: about a second of the worst storm.
const RESULTS: usize = 32 << 20;

/// The same of remarks.
const REMARKS: usize = 1 << 20;

/// At the end, a reader that took nothing for so long is not waited for.
const PAUSE: Duration = Duration::from_millis(500);

struct Queues {
    results: Queue,
    /// None if both are the same terminal: there what was written first has to be seen first, such as the end of a status
    /// line before a verdict, and two threads would not keep that order.
    remarks: Option<Queue>,
}

impl Queues {
    fn remarks(&self) -> &Queue {
        self.remarks.as_ref().unwrap_or(&self.results)
    }

    fn lost(&self) -> u64 {
        self.results.lost() + self.remarks.as_ref().map_or(0, Queue::lost)
    }
}

static QUEUES: OnceLock<Queues> = OnceLock::new();

/// What was written whole at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// All of standard output was written.
    pub results: bool,
    /// All of standard error was written.
    pub remarks: bool,
}

/// From now on both are written by threads of their own (by one if both are the same terminal), which run `on_start` first,
/// and nobody waits for them.
///
/// # Errors
/// If no thread can be started.
pub fn queue(on_start: fn()) -> io::Result<()> {
    let results = Queue::new(io::stdout(), "stdout", RESULTS, on_start)?;
    let remarks =
        if is_one_terminal() { None } else { Some(Queue::new(io::stderr(), "stderr", REMARKS, on_start)?) };
    // A second call changes nothing.
    let _queued_before = QUEUES.set(Queues { results, remarks });
    Ok(())
}

/// Standard output.
#[must_use]
pub fn stdout() -> Box<dyn Write + Send> {
    match QUEUES.get() {
        Some(queues) => Box::new(queues.results.clone()),
        None => Box::new(io::stdout()),
    }
}

/// Standard error, as it is at each write: remarks may come before the queue.
#[must_use]
pub fn stderr() -> Remarks {
    Remarks
}

/// Standard error.
#[derive(Clone, Copy, Debug)]
pub struct Remarks;

impl Write for Remarks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match QUEUES.get() {
            Some(queues) => queues.remarks().clone().write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    /// A text of several parts goes into the queue as one.
    fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(text.to_string().as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reader of standard output has gone away; false if that is not known.
#[must_use]
pub fn is_closed() -> bool {
    QUEUES.get().is_some_and(|queues| queues.results.is_closed())
}

/// Results and remarks that were left out because nobody read. Counts while there is room again, so that it can be told.
#[must_use]
pub fn lost() -> Option<u64> {
    let queues = QUEUES.get()?;
    queues.results.has_room().then(|| queues.lost())
}

/// The same, whether there is room or not.
#[must_use]
pub fn lost_in_all() -> u64 {
    QUEUES.get().map_or(0, Queues::lost)
}

/// The end has come: until then what is still to be written may wait for a reader that reads.
pub fn be_patient(until: Instant) {
    if let Some(queues) = QUEUES.get() {
        queues.results.be_patient(until);
        queues.remarks().be_patient(until);
    }
}

/// Waits until all is written, as long as somebody reads, and not beyond `until`.
#[must_use]
pub fn drain(until: Instant) -> Left {
    let all = |queue: &Queue| queue.drain(PAUSE, until);
    QUEUES.get().map_or(Left { results: true, remarks: true }, |queues| Left {
        results: all(&queues.results),
        remarks: all(queues.remarks()),
    })
}

impl Target for Stdout {
    fn is_gone(&self) -> bool {
        is_gone(self)
    }
}

impl Target for Stderr {
    fn is_gone(&self) -> bool {
        is_gone(self)
    }
}

/// Both show on the same screen.
fn is_one_terminal() -> bool {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    stdout.is_terminal() && stderr.is_terminal() && is_one_file(&stdout, &stderr)
}

#[cfg(unix)]
fn is_one_file(one: &impl std::os::fd::AsFd, other: &impl std::os::fd::AsFd) -> bool {
    use nix::sys::stat::fstat;
    let (Ok(one), Ok(other)) = (fstat(one), fstat(other)) else { return false };
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

#[cfg(not(unix))]
fn is_one_file<T, U>(_one: &T, _other: &U) -> bool {
    false
}

/// A pipe without a reader is in error, a socket or terminal has hung up.
#[cfg(unix)]
fn is_gone(stream: &impl std::os::fd::AsFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut looked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    poll(&mut looked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && looked[0].revents().is_some_and(|events| events.intersects(gone))
}

#[cfg(not(unix))]
fn is_gone<T>(_stream: &T) -> bool {
    false
}
