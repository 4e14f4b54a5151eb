//! The client: a bounded number of requests, hidden command `client`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::fault::{LISTEN, NAMED, TIMEOUT, UPSTREAMS};

const PAUSE: Duration = Duration::from_millis(500);

/// How many rounds fit into this many seconds.
pub(crate) fn rounds_in(seconds: u64) -> usize {
    let round = Duration::from_secs(TIMEOUT) + PAUSE;
    (Duration::from_secs(seconds).as_millis() / round.as_millis()).max(1) as usize
}

/// In each round one request to every upstream, all at once; says for each what came back.
pub(crate) fn ask(rounds: usize) {
    for round in 0..rounds {
        if round > 0 {
            thread::sleep(PAUSE);
        }
        let answers = UPSTREAMS.map(|upstream| thread::spawn(move || get(upstream.path)));
        for (upstream, answer) in UPSTREAMS.iter().zip(answers) {
            let said = answer.join().ok().and_then(Result::ok);
            println!("{} {}", upstream.path, said.unwrap_or_else(|| "no answer".to_owned()));
        }
    }
}

/// Requests of all kinds for so long: many that are answered or refused, some that time out, some whose client leaves.
pub(crate) fn mix(time: Duration) {
    let until = Instant::now() + time;
    let often = |pause: u64, act: fn()| {
        thread::spawn(move || {
            while Instant::now() < until {
                act();
                thread::sleep(Duration::from_millis(pause));
            }
        })
    };
    let threads = [
        often(20, || drop(get("/healthy"))),
        often(100, || drop(get("/closed"))),
        often(200, || drop(get(NAMED))),
        often(500, || drop(get("/firewall"))),
        often(500, || drop(get("/slow"))),
        often(500, || drop(get("/queue"))),
        often(1_000, || drop(leave("/slow"))),
    ];
    for thread in threads {
        let _panicked = thread.join();
    }
}

/// Asks, and goes away before there is an answer.
fn leave(path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(LISTEN)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n")?;
    thread::sleep(Duration::from_millis(200));
    Ok(())
}

/// Status, and after how long.
fn get(path: &str) -> Result<String> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(LISTEN)?;
    stream.set_read_timeout(Some(Duration::from_secs(2 * TIMEOUT)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).unwrap_or("nothing");
    Ok(format!("{status} after {:.1} s", begin.elapsed().as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::rounds_in;

    #[test]
    fn rounds() {
        assert_eq!([0, 3, 7, 8, 60].map(rounds_in), [1, 1, 2, 2, 17]);
    }
}
