//! What an origin does on each connection, as a list of steps.

use std::time::Duration;

/// One step on a connection.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads one request with its body; the script ends if the other side closed.
    Request,
    /// Reads only the head of a request, and only as much as that takes.
    Head,
    /// Reads whatever comes first.
    Bytes,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits.
    Sleep(Duration),
    /// Leaves the connection open until the other side closes it.
    UntilClosed,
    /// Never reads; leaves the connection open until the origin ends.
    Hold,
    /// Closes as `close()` does: FIN, or RST if there is unread data.
    Close,
    /// Closes with RST.
    Reset,
    /// Waits this long for another request, then closes; goes to the begin if one came.
    CloseIfIdle(Duration),
    /// Goes to the begin.
    Again,
}

/// An origin's behaviour.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it does on each connection; closes at the end.
    pub steps: Vec<Step>,
    /// Length of the queue given to `listen()`.
    pub backlog: i32,
    /// Whether it calls `accept()` at all.
    pub accepts: bool,
    /// Size of the receive buffer, if not the default.
    pub receive_buffer: Option<usize>,
}

impl Script {
    /// Does these steps.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Self {
        Self { steps, backlog: 1024, accepts: true, receive_buffer: None }
    }

    /// Answers 200 with a body of this size, and more requests on the same connection.
    #[must_use]
    pub fn answer(size: usize) -> Self {
        Self::new(vec![Step::Request, Step::Send(response("200 OK", size)), Step::Again])
    }

    /// Answers with this status, e.g. `502 Bad Gateway`.
    #[must_use]
    pub fn status(status: &str) -> Self {
        Self::new(vec![Step::Request, Step::Send(response(status, 9)), Step::Again])
    }

    /// Answers without a length: the end of the connection is the end of the answer.
    #[must_use]
    pub fn answer_then_close(size: usize) -> Self {
        let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        bytes.resize(bytes.len() + size, b'x');
        Self::new(vec![Step::Request, Step::Send(bytes), Step::Close])
    }

    /// Answers, and closes the connection after this time without another request.
    #[must_use]
    pub fn answer_then_close_if_idle(size: usize, idle: Duration) -> Self {
        Self::new(vec![Step::Request, Step::Send(response("200 OK", size)), Step::CloseIfIdle(idle)])
    }

    /// Answers after this time.
    #[must_use]
    pub fn slow_answer(time: Duration, size: usize) -> Self {
        Self::new(vec![Step::Request, Step::Sleep(time), Step::Send(response("200 OK", size)), Step::Again])
    }

    /// Reads the request and never answers.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(vec![Step::Request, Step::UntilClosed])
    }

    /// Listens, and never calls `accept()`.
    #[must_use]
    pub fn never_accept(backlog: i32) -> Self {
        Self { backlog, accepts: false, ..Self::new(Vec::new()) }
    }

    /// Reads the request and closes.
    #[must_use]
    pub fn read_then_fin() -> Self {
        Self::new(vec![Step::Request, Step::Close])
    }

    /// Reads the request and resets.
    #[must_use]
    pub fn read_then_rst() -> Self {
        Self::new(vec![Step::Request, Step::Reset])
    }

    /// Closes as soon as it has the connection.
    #[must_use]
    pub fn close_after_accept() -> Self {
        Self::new(vec![Step::Close])
    }

    /// Announces `of` bytes of body, sends `sent`, then nothing.
    #[must_use]
    pub fn partial_then_stall(sent: usize, of: usize) -> Self {
        Self::new(vec![Step::Request, Step::Send(partial(sent, of)), Step::UntilClosed])
    }

    /// Announces `of` bytes of body, sends `sent`, then closes.
    #[must_use]
    pub fn partial_then_fin(sent: usize, of: usize) -> Self {
        Self::new(vec![Step::Request, Step::Send(partial(sent, of)), Step::Close])
    }

    /// Announces `of` bytes of body, sends `sent`, then resets, once those have arrived.
    #[must_use]
    pub fn partial_then_rst(sent: usize, of: usize) -> Self {
        let pause = Step::Sleep(Duration::from_millis(100));
        Self::new(vec![Step::Request, Step::Send(partial(sent, of)), pause, Step::Reset])
    }

    /// Has the connection and never reads, with a small receive buffer.
    #[must_use]
    pub fn not_reading() -> Self {
        Self { receive_buffer: Some(4096), ..Self::new(vec![Step::Hold]) }
    }

    /// Answers these bytes and waits.
    #[must_use]
    pub fn says(bytes: &[u8]) -> Self {
        Self::new(vec![Step::Request, Step::Send(bytes.to_vec()), Step::UntilClosed])
    }

    /// Sets the length of the queue of connections that wait for `accept()`.
    #[must_use]
    pub fn backlog(self, backlog: i32) -> Self {
        Self { backlog, ..self }
    }
}

/// An answer with a body of this size.
#[must_use]
pub fn response(status: &str, size: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes
}

fn partial(sent: usize, of: usize) -> Vec<u8> {
    let mut bytes = response("200 OK", of);
    bytes.truncate(bytes.len() - of + sent);
    bytes
}
