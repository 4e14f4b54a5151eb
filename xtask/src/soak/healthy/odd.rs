//! The odd client: it leaves, upgrades, comes in bursts and wants to know whether certificates are revoked. Hidden
//! command `odd`.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::Linger};

use super::cancel;
use super::kinds::{self, IDLE, Kind, SLOW, STREAMS, WEBSOCKET};
use super::proxy::{CLIENT_CERTIFICATES, HTTP2_PORT, PORT, STAPLING};
use super::responder::{BYE, until};

/// Counts what is done: whatever has to differ from time to time takes its turns by it.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Does all of it until killed. Certificates are in this folder.
pub(crate) fn act(newer: bool, certificates: &PathBuf) {
    let leaves: Vec<Kind> = kinds::all(newer).collect();
    let cancels: Vec<Kind> = leaves.iter().copied().filter(|kind| kind.body == 0).collect();
    let stapling = STAPLING.chain([CLIENT_CERTIFICATES]).map(|port| move |dir: &PathBuf| staple(dir, port));
    thread::scope(|scope| {
        let often = |pause: u64, act: &dyn Fn(u64) -> io::Result<()>| loop {
            // Whatever breaks is seen in nginx's logs.
            let _broken = act(TURN.fetch_add(1, Ordering::Relaxed));
            thread::sleep(Duration::from_millis(pause));
        };
        scope.spawn(move || often(2, &|turn| leave(&leaves[turn as usize % leaves.len()], turn)));
        scope.spawn(move || often(10, &|turn| cancel_some(&cancels[turn as usize % cancels.len()], turn)));
        scope.spawn(move || often(10, &|turn| leave_unread("/big-raw", turn)));
        scope.spawn(move || often(20, &|turn| leave_unread("/big", turn)));
        scope.spawn(move || often(20, &half_a_body));
        scope.spawn(move || often(5, &leave_stream));
        for _ in 0..4 {
            scope.spawn(move || often(1, &websocket));
            scope.spawn(move || often(1, &|_| get(SLOW)));
        }
        scope.spawn(move || often(4_000, &|_| burst()));
        for ask in stapling {
            scope.spawn(move || often(1_000, &|_| ask(certificates)));
        }
    });
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn ask(path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(PORT)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: healthy\r\n\r\n")?;
    Ok(stream)
}

/// Goes away: every other time with a reset.
fn go(stream: TcpStream, turn: u64) {
    if turn % 2 == 1 {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let _fin_instead = setsockopt(&stream, Linger, &linger);
    }
    drop(stream);
}

/// Asks, and goes away at once or within milliseconds.
fn leave(kind: &Kind, turn: u64) -> io::Result<()> {
    let mut stream = connect(PORT)?;
    let (name, body) = (kind.name, kind.body);
    if body > 0 {
        write!(stream, "POST /{name} HTTP/1.1\r\nHost: healthy\r\nContent-Length: {body}\r\n\r\n")?;
        stream.write_all(&vec![b'x'; body])?;
    } else {
        write!(stream, "GET /{name}?n={turn} HTTP/1.1\r\nHost: healthy\r\n\r\n")?;
    }
    let upper = if name == SLOW { 150_000 } else { 1_500 };
    // A turn has no fixed place within that time.
    thread::sleep(Duration::from_micros(turn.wrapping_mul(0x9E37_79B9) % upper));
    go(stream, turn);
    Ok(())
}

/// Cancels requests, and stays.
fn cancel_some(kind: &Kind, turn: u64) -> io::Result<()> {
    cancel::some(connect(HTTP2_PORT)?, &format!("/{}?n={turn}", kind.name), turn)
}

/// Reads the begin of a large answer, and goes away.
fn leave_unread(path: &str, turn: u64) -> io::Result<()> {
    let mut stream = ask(path)?;
    stream.read_exact(&mut [0; 1000])?;
    go(stream, turn);
    Ok(())
}

/// Announces a body, sends half of it, and goes away.
fn half_a_body(turn: u64) -> io::Result<()> {
    let path = if turn.is_multiple_of(4) { "post-raw" } else { "post" };
    let mut stream = connect(PORT)?;
    write!(stream, "POST /{path} HTTP/1.1\r\nHost: healthy\r\nContent-Length: 20000\r\n\r\n")?;
    stream.write_all(&[b'x'; 10_000])?;
    thread::sleep(Duration::from_millis(2));
    go(stream, turn);
    Ok(())
}

/// Goes away at once, after a request, in the middle of the answer, or after its own half was closed.
fn leave_stream(turn: u64) -> io::Result<()> {
    let (port, ..) = STREAMS[turn as usize % STREAMS.len()];
    let mut stream = connect(port)?;
    let how = turn / 4 % 4;
    if how > 0 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: healthy\r\n\r\n")?;
    }
    if how > 1 {
        stream.read_exact(&mut [0; 20])?;
    }
    if how > 2 {
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new())?;
    }
    go(stream, turn);
    Ok(())
}

/// Some words to and fro; then one of the two goes away.
fn websocket(turn: u64) -> io::Result<()> {
    let mut stream = connect(PORT)?;
    write!(
        stream,
        "GET /{WEBSOCKET} HTTP/1.1\r\nHost: healthy\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )?;
    until(&mut stream, b"\r\n\r\n")?;
    for _ in 0..turn % 5 {
        stream.write_all(b"word.")?;
        until(&mut stream, b".")?;
    }
    match turn % 3 {
        0 => {
            stream.write_all(BYE)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        }
        1 => {
            thread::sleep(Duration::from_millis(turn % 40));
            Ok(())
        }
        _ => {
            go(stream, turn);
            Ok(())
        }
    }
}

/// Asks and reads the answer.
fn get(kind: &str) -> io::Result<()> {
    let mut stream = ask(&format!("/{kind}"))?;
    until(&mut stream, b"hello\n").map(drop)
}

/// Many at once: each leaves a connection in nginx's pool, which the origin closes before the next burst.
fn burst() -> io::Result<()> {
    let clients: Vec<TcpStream> = (0..12).filter_map(|_| ask(&format!("/{IDLE}")).ok()).collect();
    for mut client in clients {
        until(&mut client, b"hello\n")?;
    }
    Ok(())
}

/// Shakes hands, and asks for what the responder said.
fn staple(dir: &PathBuf, port: u16) -> io::Result<()> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-status", "-connect", &format!("127.0.0.1:{port}")]);
    command.args(["-cert", "client.pem", "-key", "client-key.pem"]).current_dir(dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().map(drop)
}
