//! A wire that leaves this kernel: two tun devices, and a program that copies packets from one to the other and loses
//! those that it is told to, as a machine far away would. What is lost there this kernel does not see.

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
        flow = flow or packet[header:header + 4]
        return packet[header:header + 4] == flow
    return (lose == 'everything' or lose == 'requests' and out and push
        or lose == 'large' and out and len(packet) > 1000 or lose == 'answers' and not out and len(packet) > 200)
while True:
    for source in select.select([0, near, far], [], [])[0]:
        if source == 0:
            lose, flow = os.read(0, 64).decode().strip(), None
            if not lose: raise SystemExit
            print('done', flush=True)
            continue
        packet = os.read(source, 65536)
        if lost(packet, source == near): continue
        try: os.write(far if source == near else near, packet)
        except OSError: pass
";

/// What is lost.
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
    /// Those of nginx that belong to the same connection as the next one, over IPv4.
    Flow,
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
