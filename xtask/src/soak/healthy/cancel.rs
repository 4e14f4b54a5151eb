//! A client of HTTP/2 that cancels its requests and stays: its connection does not tell that it left.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
/// The setting for how much may be under way on each stream, and as much as goes.
const STREAM_WINDOW: [u8; 6] = [0, 4, 0x7f, 0xff, 0xff, 0xff];
/// What is added to that of the connection.
const CONNECTION_WINDOW: [u8; 4] = [0x7f, 0, 0, 0];
/// The request has no body; its headers are all there.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Why a stream is cancelled.
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// The first numbers of streams that a client may begin.
const STREAMS: [u32; 8] = [1, 3, 5, 7, 9, 11, 13, 15];

/// Begins some requests, cancels every other one of them, and reads the answers to the rest.
pub(super) fn some(mut stream: TcpStream, path: &str, turn: u64) -> io::Result<()> {
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &STREAM_WINDOW);
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &CONNECTION_WINDOW);
    for number in STREAMS {
        frame(&mut bytes, HEADERS, END_STREAM | END_HEADERS, number, &head(path));
    }
    stream.write_all(&bytes)?;
    thread::sleep(Duration::from_micros(turn.wrapping_mul(0x9E37_79B9) % 2_000));
    let cancelled = STREAMS.iter().skip(1).step_by(2);
    let mut bytes = Vec::new();
    cancelled.for_each(|number| frame(&mut bytes, RST_STREAM, 0, *number, &CANCEL));
    stream.write_all(&bytes)?;
    let mut open: Vec<u32> = STREAMS.iter().copied().step_by(2).collect();
    while !open.is_empty() {
        let (kind, flags, number) = read(&mut stream)?;
        let ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 || kind == RST_STREAM;
        open.retain(|open| !(ends && *open == number));
    }
    Ok(())
}

/// `GET` of this path, without compression. Paths are shorter than 127 bytes.
fn head(path: &str) -> Vec<u8> {
    // Indices of HPACK's static table: GET, http, then the names of path and authority with values.
    let mut head = vec![0x82, 0x86];
    for (name, value) in [(4, path), (1, "healthy")] {
        head.extend([name, u8::try_from(value.len()).unwrap_or(0)]);
        head.extend(value.as_bytes());
    }
    head
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    bytes.extend([length[1], length[2], length[3], kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// Kind, flags and stream of the next frame.
fn read(stream: &mut TcpStream) -> io::Result<(u8, u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream.read_exact(&mut vec![0; length as usize])?;
    Ok((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let mut bytes = Vec::new();
        frame(&mut bytes, RST_STREAM, 0, 3, &CANCEL);
        assert_eq!(bytes, [0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 8]);
        assert_eq!(head("/ab"), b"\x82\x86\x04\x03/ab\x01\x07healthy");
    }
}
