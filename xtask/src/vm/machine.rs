//! The architectures of guests: how each is emulated, and where what runs there comes from.

use std::path::PathBuf;

use anyhow::Result;

use crate::archive::{AMD64, Apt};
use crate::build::Target;
use crate::paths;
use crate::say::say;

/// An architecture.
#[derive(Debug)]
pub(super) struct Machine {
    /// For people.
    pub(super) name: &'static str,
    /// As Debian names it.
    pub(super) debian: &'static str,
    /// As Debian names its folders of libraries.
    pub(super) libraries: &'static str,
    /// Its number in a program (`EM_...` in `elf.h`).
    pub(super) elf: u16,
    /// What program and lab are built for; none is this machine itself.
    pub(super) target: Option<Target>,
    /// The program that emulates it.
    pub(super) emulator: &'static str,
    /// What it emulates.
    pub(super) options: &'static [&'static str],
    /// The device behind [`super::guest::Lines::console`], in the guest.
    pub(super) console: &'static str,
    /// How the emulator is given the other two lines; `%` is the number of one.
    pub(super) line: &'static [&'static str],
    /// These two in the guest: what the lab prints, and what it notes.
    pub(super) lines: [&'static str; 2],
}

/// All that can be emulated, but for what takes an emulator longer than what it replaces.
pub(super) const X86_64: Machine = Machine {
    name: "x86-64",
    debian: AMD64,
    libraries: "x86_64-linux-gnu",
    elf: 62,
    target: None,
    emulator: "qemu-system-x86_64",
    options: &["-cpu", "max,erms=off,la57=off"],
    console: "ttyS0",
    line: &["-serial", "chardev:line%"],
    lines: ["/dev/ttyS1", "/dev/ttyS2"],
};

/// A processor without pointer authentication, which an emulator does slowly. That machine has one serial line of its own.
pub(super) const ARM64: Machine = Machine {
    name: "arm64",
    debian: "arm64",
    libraries: "aarch64-linux-gnu",
    elf: 183,
    target: Some(Target::Aarch64),
    emulator: "qemu-system-aarch64",
    options: &["-machine", "virt", "-cpu", "cortex-a72"],
    console: "ttyAMA0",
    line: &["-device", "pci-serial,chardev=line%"],
    lines: ["/dev/ttyS0", "/dev/ttyS1"],
};

/// The release of Debian that programs for other architectures come from.
const SUITE: &str = "bookworm";

/// What the lab starts.
const PACKAGES: [&str; 13] = [
    "busybox-static",
    "coreutils",
    "bsdutils",
    "dash",
    "nginx-light",
    "iproute2",
    "nftables",
    "iptables",
    "conntrack",
    "openssl",
    "util-linux",
    "haproxy",
    "python3",
];

impl Machine {
    /// The folder whose programs the guest has: the root of this machine, or one with packages of that architecture, which
    /// are got unless they are there.
    pub(super) fn root(&self) -> Result<PathBuf> {
        if self.target.is_none() {
            return Ok(PathBuf::from("/"));
        }
        let folder = paths::target().join("vm").join(self.debian);
        let (root, done) = (folder.join("root"), folder.join("fetched"));
        if !done.is_file() {
            say("Fetching", format!("programs of Debian {SUITE} for {}", self.name));
            let apt = Apt::new(&folder.join("apt"), SUITE, self.debian)?;
            apt.unpack_all(&PACKAGES, &root)?;
            apt.remove();
            std::fs::write(&done, "")?;
        }
        Ok(root)
    }
}
