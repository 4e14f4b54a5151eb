//! Messages of the ring buffer: from a kernel side that is not ours, or is broken.

use std::net::SocketAddr;

use upstream_trace::kernel::btf::Layout;
use upstream_trace::kernel::decode::{Decoder, Message};
use upstream_trace::kernel::symbols::{LateSymbols, Symbols};
use upstream_trace_common::{
    Addr, DnsMessage, EventHeader, EventKind, LogWrite, Record, UNIX_PATH, UnixPath,
};

use crate::{Target, engine, mutate};

/// Takes one message after the other, each with its length before it.
pub(crate) const TARGET: Target = Target { name: "decode", run, seeds, mutate: mutate::bytes };

/// Addresses as in a short `/proc/kallsyms`.
const SYMBOLS: &str =
    "1000 T nft_do_chain\n2000 t nft_do_chain_inet\n3000 T nf_hook_slow\n4000 T __ip_local_out\n";

fn run(bytes: &[u8]) {
    let mut layout = Layout::default();
    layout.drop_reasons.insert(3, "NO_SOCKET".to_owned());
    layout.drop_reasons.insert(8, "NETFILTER_DROP".to_owned());
    let symbols = LateSymbols::from(Symbols::parse(SYMBOLS.as_bytes()));
    let decoder = Decoder { layout: &layout, symbols: &symbols };
    let mut events = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (message, after) = after.split_at(usize::from(u16::from_le_bytes(*length)).min(after.len()));
        rest = after;
        let path =
            |id: u32| (id % 2 == 1).then_some(UnixPath { bytes: [b'/'; UNIX_PATH], len: id as u16, pad: 0 });
        if let Some(Message::Event(event)) = decoder.message(message, path) {
            events.push(*event);
        }
    }
    engine::tell(&events);
}

fn seeds() -> Vec<Vec<u8>> {
    EventKind::ALL.iter().map(|kind| [seed(*kind), seed(EventKind::End)].concat()).collect()
}

/// A message of this kind, with its length before it.
fn seed(kind: EventKind) -> Vec<u8> {
    // Of no kind is there more; what is too long is decoded too.
    let length = size_of::<Record>().max(size_of::<DnsMessage>()).max(size_of::<LogWrite>());
    let mut bytes = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes().to_vec();
    let header = EventHeader { now_ns: 5_000_000_000, kind: kind as u32, tgid: 7 };
    bytes.extend(header.now_ns.to_le_bytes());
    bytes.extend(header.kind.to_le_bytes());
    bytes.extend(header.tgid.to_le_bytes());
    bytes.resize(2 + length, 0);
    if matches!(kind, EventKind::End | EventKind::Trouble) {
        let address: SocketAddr = ([10, 0, 0, 2], 80).into();
        write_address(&mut bytes, std::mem::offset_of!(Record, remote), address);
    }
    bytes
}

fn write_address(bytes: &mut [u8], at: usize, address: SocketAddr) {
    let Addr { ip, port, family } = upstream_trace::kernel::decode::key(address);
    let at = 2 + at;
    bytes[at..at + 16].copy_from_slice(&ip);
    bytes[at + 16..at + 18].copy_from_slice(&port.to_le_bytes());
    bytes[at + 18..at + 20].copy_from_slice(&family.to_le_bytes());
}
