//! A policy on a control group, as systemd and Cilium set them: a BPF program that forbids whatever it is asked about.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr};
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use crate::util::sh;

/// What is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbids {
    /// `connect()` to IPv4 and IPv6 addresses: it fails with EPERM.
    Connect,
    /// Packets that go out, as `IPAddressDeny=` of systemd does: they are dropped.
    Packets,
}

/// `r0 = 0; exit`: no.
const NO: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
const PROGRAM: &str = "no";

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
    pub fn on(pid: u32, forbids: Forbids) -> Result<Self> {
        let root = unified()?;
        let folder = root.join(format!("utl-policy-{}-{pid}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let mut policy = Self { folder, root, programs: Vec::new() };
        let sections = match forbids {
            Forbids::Connect => &["cgroup/connect4", "cgroup/connect6"][..],
            Forbids::Packets => &["cgroup_skb/egress"],
        };
        for section in sections {
            let mut ebpf = Ebpf::load(&program(section)?).context("load a BPF program")?;
            attach(&mut ebpf, &File::open(&policy.folder)?, forbids)?;
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

fn attach(ebpf: &mut Ebpf, group: &File, forbids: Forbids) -> Result<()> {
    let program = ebpf.program_mut(PROGRAM).context("the program is not there")?;
    if forbids == Forbids::Packets {
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
fn program(section: &str) -> Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::default());
    let id = object.add_section(Vec::new(), section.into(), SectionKind::Text);
    object.append_section_data(id, &NO, 8);
    object.add_symbol(Symbol {
        name: PROGRAM.into(),
        value: 0,
        size: NO.len() as u64,
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

    #[test]
    fn an_object_with_a_program() {
        let bytes = super::program("cgroup/connect4").unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let section = file.section_by_name("cgroup/connect4").unwrap();
        assert_eq!(section.data().unwrap(), super::NO);
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(super::PROGRAM)).unwrap();
        assert_eq!((symbol.address(), symbol.size()), (0, 16));
    }
}
