//! A policy on a control group, as systemd and Cilium set them: a BPF program that forbids whatever it is asked about, or sends
//! it elsewhere.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr};
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use crate::util::sh;

/// What becomes of what the processes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `connect()` to IPv4 and IPv6 addresses fails with EPERM.
    NoConnect,
    /// Packets that go out are dropped, as `IPAddressDeny=` of systemd does.
    NoPackets,
    /// `connect()` to an IPv4 address goes to this port there, as Cilium sends it to the address of a service's pod.
    ToPort(u16),
}

impl Rule {
    fn sections(self) -> &'static [&'static str] {
        match self {
            Self::NoConnect => &["cgroup/connect4", "cgroup/connect6"],
            Self::NoPackets => &["cgroup_skb/egress"],
            Self::ToPort(_) => &["cgroup/connect4"],
        }
    }

    /// The program's instructions.
    fn code(self) -> Vec<u8> {
        const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
        /// `r0 = allowed`
        fn allowed(allowed: u8) -> [u8; 8] {
            [0xb7, 0, 0, 0, allowed, 0, 0, 0]
        }
        let Self::ToPort(port) = self else { return [allowed(0), EXIT].concat() };
        // `r2 = port`, in network order; `*(u32 *)(r1 + 24) = r2`: `user_port` of `struct bpf_sock_addr`.
        let [high, low] = port.to_be_bytes();
        [[0xb7, 2, 0, 0, high, low, 0, 0], [0x63, 0x21, 24, 0, 0, 0, 0, 0], allowed(1), EXIT].concat()
    }
}

const PROGRAM: &str = "policy";

/// The group, with the program on it; gone on drop, and its processes back where all are.
#[derive(Debug)]
pub struct Policy {
    folder: PathBuf,
    root: PathBuf,
    /// Attached for as long as they are here.
    programs: Vec<Ebpf>,
}

impl Policy {
    /// Puts a process under this policy.
    pub fn on(pid: u32, rule: Rule) -> Result<Self> {
        let root = unified()?;
        let folder = root.join(format!("utl-policy-{}-{pid}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let mut policy = Self { folder, root, programs: Vec::new() };
        for section in rule.sections() {
            let mut ebpf = Ebpf::load(&program(section, &rule.code())?).context("load a BPF program")?;
            attach(&mut ebpf, &File::open(&policy.folder)?, rule)?;
            policy.programs.push(ebpf);
        }
        fs::write(policy.folder.join("cgroup.procs"), pid.to_string())
            .context("move a process into a control group")?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        self.programs.clear();
        let members = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            let _already_gone = fs::write(self.root.join("cgroup.procs"), pid);
        }
        let _left_over = fs::remove_dir(&self.folder);
    }
}

fn attach(ebpf: &mut Ebpf, group: &File, rule: Rule) -> Result<()> {
    let program = ebpf.program_mut(PROGRAM).context("the program is not there")?;
    if rule == Rule::NoPackets {
        let program: &mut CgroupSkb = program.try_into()?;
        program.load()?;
        program.attach(group, CgroupSkbAttachType::Egress, CgroupAttachMode::Single)?;
    } else {
        let program: &mut CgroupSockAddr = program.try_into()?;
        program.load()?;
        program.attach(group, CgroupAttachMode::Single)?;
    }
    Ok(())
}

/// An object file with this one program.
fn program(section: &str, code: &[u8]) -> Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::default());
    let id = object.add_section(Vec::new(), section.into(), SectionKind::Text);
    object.append_section_data(id, code, 8);
    object.add_symbol(Symbol {
        name: PROGRAM.into(),
        value: 0,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(id),
        flags: SymbolFlags::None,
    });
    object.write().context("write an object file")
}

/// Where the tree of version 2 is mounted; mounts it if it is not.
fn unified() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mounted = words
        .filter(|words| words.get(2) == Some(&"cgroup2"))
        .find_map(|words| words.get(1).map(|place| Path::new(place).to_path_buf()));
    if let Some(place) = mounted {
        return Ok(place);
    }
    let place = std::env::temp_dir().join("upstream-trace-lab-cgroup2");
    fs::create_dir_all(&place)?;
    sh(&format!("mount -t cgroup2 none {}", place.display()))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    use super::Rule;

    #[test]
    fn an_object_with_a_program() {
        let bytes = super::program("cgroup/connect4", &Rule::NoConnect.code()).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let section = file.section_by_name("cgroup/connect4").unwrap();
        assert_eq!(section.data().unwrap(), Rule::NoConnect.code());
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(super::PROGRAM)).unwrap();
        assert_eq!((symbol.address(), symbol.size()), (0, 16));
    }
}
