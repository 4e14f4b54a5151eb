//! Receivers that are no receivers: whatever they do, the thread goes on, and each record is counted once.

use std::net::TcpStream;

use super::*;

/// Batches are given up soon.
const IMPATIENT: Pace = Pace { give_up: Duration::ZERO, ..QUICK };

/// What one does with a connection once the request is there; it ends when the exporter closes it.
type Odd = fn(&mut TcpStream) -> std::io::Result<()>;

/// The same again and again.
fn forever(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes)?;
        thread::sleep(pause);
    }
}

const FAST: Duration = Duration::ZERO;
const SLOW: Duration = Duration::from_millis(20);

/// It makes no sense to try these again.
const REFUSED: [(&str, Odd); 3] = [
    ("is a web server", |stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nIt works!")),
    ("redirects", |stream| {
        stream.write_all(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")
    }),
    ("has a body without an end", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        forever(stream, &[b' '; 4096], FAST)
    }),
];

/// These may be better the next time.
const RETRIED: [(&str, Odd); 5] = [
    ("closes", |_| Ok(())),
    ("speaks another protocol", |stream| stream.write_all(b"220 mail ESMTP\r\n")),
    ("has a head without an end", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        forever(stream, b"X-More: and more\r\n", FAST)
    }),
    ("sends its head byte by byte", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-More: ")?;
        forever(stream, b"x", SLOW)
    }),
    ("sends its body byte by byte", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{")?;
        forever(stream, b" ", SLOW)
    }),
];

fn odd(listener: TcpListener, odd: Odd) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whatever was asked; one that goes away is what it is about.
            let _some = stream.read(&mut [0; 4096]);
            let _gone = odd(&mut stream);
        }
    });
}

#[test]
fn what_they_do_not_take_is_counted_once() {
    for (what, does) in REFUSED.into_iter().chain(RETRIED) {
        let listener = listen();
        let mut otlp = otlp(listener.local_addr().unwrap(), IMPATIENT);
        odd(listener, does);
        fail(&mut otlp, 3);
        let left = otlp.queue.finish(Duration::from_secs(20));
        assert_eq!((otlp.queue.lost(), left), (3, 0), "one that {what}");
    }
}

#[test]
fn one_that_comes_to_its_senses_gets_what_waited() {
    let listener = listen();
    let address = listener.local_addr().unwrap();
    let mut otlp = otlp(address, QUICK);
    fail(&mut otlp, 3);
    for (_, does) in RETRIED {
        let mut stream = listener.accept().unwrap().0;
        let _some = stream.read(&mut [0; 4096]);
        let _gone = does(&mut stream);
    }
    let received = receiver(listener, &[]);
    let mut requests = Vec::new();
    while records(&requests).len() < 3 {
        requests.push(received.recv_timeout(Duration::from_secs(20)).unwrap());
    }
    otlp.finish().unwrap();
    assert_eq!(otlp.queue.lost(), 0);
}
