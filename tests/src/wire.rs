//! A wire that leaves this kernel: two tun devices, and a program that copies packets from one to the other and loses
//! those that it is told to, or rejects them, as a machine far away would. What happens there this kernel does not see.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::netns::Namespace;
use crate::software::installed;

/// Makes the devices, says so, and copies.
const COPIER: &str = "
import fcntl, os, select, struct
def tun(name):
    device = os.open('/dev/net/tun', os.O_RDWR)
    TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
    fcntl.ioctl(device, TUNSETIFF, struct.pack('16sH22x', name, IFF_TUN | IFF_NO_PI))
    return device
near, far = tun(b'near'), tun(b'far')
print('ready', flush=True)
lose, flow = 'nothing', None
def lost(packet, out):
    global flow
    header = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    push = len(packet) > header + 13 and packet[header + 13] & 8
    if lose == 'flow' and out and packet[9] == 6:
        if packet[header + 13] & 2: flow = flow or packet[header:header + 4]
        return packet[header:header + 4] == flow
    return (lose == 'everything' or lose == 'requests' and out and push
        or lose == 'large' and out and len(packet) > 1000 or lose == 'answers' and not out and len(packet) > 200)
def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 65535) + (total >> 16)
    return struct.pack('!H', ~total & 65535)
CODES = {'rejectport': (3, 4), 'rejectadmin': (13, 1), 'rejecthost': (1, 3), 'rejectbyrouter': (13, 1)}
def rejection(packet):
    v4 = packet[0] >> 4 == 4
    to, by = (packet[12:16], packet[16:20]) if v4 else (packet[8:24], packet[24:40])
    if lose == 'rejectbyrouter': by = by[:-1] + bytes([254])
    header = (packet[0] & 15) * 4 if v4 else 40
    if lose == 'rejectreset':
        protocol, sum_at = 6, 16
        source, target, number = struct.unpack('!HHI', packet[header:header + 8])
        body = struct.pack('!HHIIBBHHH', target, source, 0, (number + 1) & 0xffffffff, 0x50, 0x14, 0, 0, 0)
    else:
        protocol, sum_at = 1 if v4 else 58, 2
        body = struct.pack('!BBHI', 3 if v4 else 1, CODES[lose][not v4], 0, 0) + packet
    pseudo = b'' if protocol == 1 else by + to + struct.pack('!II', len(body), protocol)
    body = body[:sum_at] + checksum(pseudo + body) + body[sum_at + 2:]
    if not v4: return struct.pack('!IHBB', 6 << 28, len(body), protocol, 64) + by + to + body
    head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + by + to
    return head[:10] + checksum(head) + head[12:] + body
while True:
    for source in select.select([0, near, far], [], [])[0]:
        if source == 0:
            lose, flow = os.read(0, 64).decode().strip(), None
            if not lose: raise SystemExit
            print('done', flush=True)
            continue
        packet = os.read(source, 65536)
        if lost(packet, source == near): continue
        if lose.startswith('reject'):
            if source == near: os.write(near, rejection(packet))
            continue
        try: os.write(far if source == near else near, packet)
        except OSError: pass
";

/// What is lost, or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lose {
    /// All packets.
    Everything,
    /// Those of nginx that carry data.
    Requests,
    /// Those of nginx that are larger than 1000 bytes.
    Large,
    /// Those of the origin that are larger than 200 bytes.
    Answers,
    /// Those of nginx that belong to the next connection that begins, over IPv4.
    Flow,
    /// All; the origin's host says that the port is unreachable.
    RejectPort,
    /// All; the origin's host says that it is prohibited by its administrator.
    RejectAdmin,
    /// All; the origin's host says that it is not reachable itself.
    RejectHost,
    /// All; a router, `10.95.0.254`, says that it is prohibited.
    RejectByRouter,
    /// All; with a reset.
    RejectReset,
}

/// The wire: `10.95.0.1` and `fd95::1` at nginx, `10.95.0.2` and `fd95::2` at the origins; it goes away on drop.
#[derive(Debug)]
pub struct Wire {
    copier: Child,
    to: RefCell<ChildStdin>,
    from: RefCell<BufReader<ChildStdout>>,
}

impl Wire {
    /// This machine has what it takes.
    #[must_use]
    pub fn is_possible() -> bool {
        installed("python3") && Path::new("/dev/net/tun").exists()
    }

    /// Lays it between two namespaces.
    pub fn lay(near: &Namespace, far: &Namespace) -> Result<Self> {
        let mut copier = near.run(|| {
            let mut python = Command::new("python3");
            python.args(["-c", COPIER]).stdin(Stdio::piped()).stdout(Stdio::piped());
            python.spawn().context("start python3")
        })?;
        let (to, from) = copier.stdin.take().zip(copier.stdout.take()).context("pipes")?;
        let wire = Self { copier, to: RefCell::new(to), from: RefCell::new(BufReader::new(from)) };
        wire.answered()?;
        near.command(&format!("ip link set far netns {}", far.name()))?;
        for (namespace, device, host) in [(near, "near", 1), (far, "far", 2)] {
            namespace.script(&format!(
                "ip addr add 10.95.0.{host}/24 dev {device}
                 ip addr add fd95::{host}/64 dev {device} nodad
                 ip link set {device} up"
            ))?;
        }
        Ok(wire)
    }

    /// Loses such packets from now on.
    pub fn lose(&self, what: Lose) -> Result<()> {
        let word = format!("{what:?}").to_lowercase();
        self.to.borrow_mut().write_all(word.as_bytes())?;
        self.answered()
    }

    fn answered(&self) -> Result<()> {
        self.from.borrow_mut().read_line(&mut String::new()).map(drop).context("the wire")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _already_gone = self.copier.kill();
        let _already_gone = self.copier.wait();
    }
}
