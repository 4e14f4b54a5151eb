//! Tries every rung of every hook, one after the other, and says what the maps take.

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use anyhow::{Result, anyhow};
use aya::maps::{Map, MapData};
use upstream_trace_core::hooks::{Attach, AttachMethod, HOOKS, Hook, Probe, When};

use super::attach::unusable;
use super::btf::{self, Layout};
use super::hook_filter::HookFilter;
use super::load::Kernel;
use super::refusal::plain;

/// What became of a rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was loaded, attached and detached.
    Works,
    /// This is in its way.
    Fails(String),
    /// It was not tried; whether the kernel has what it needs, if that can be told.
    Untried(Option<bool>),
}

/// A hook and what became of its rungs, in order.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The hook.
    pub hook: &'static Hook,
    /// Its rungs.
    pub methods: Vec<(&'static AttachMethod, Tried)>,
}

impl Probed {
    /// The rung that a trace uses.
    #[must_use]
    pub fn chosen(&self) -> Option<&'static AttachMethod> {
        self.methods.iter().find(|(_, tried)| *tried == Tried::Works).map(|(rung, _)| *rung)
    }

    /// A trace can use it, or, untried, probably can.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let there = |tried: &Tried| matches!(tried, Tried::Works | Tried::Untried(None | Some(true)));
        self.methods.iter().any(|(_, tried)| there(tried))
    }
}

/// A map of the kernel side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSize {
    /// Its name.
    pub name: String,
    /// Entries that it has room for; of a ring buffer, bytes.
    pub entries: u32,
    /// What it takes now, as the kernel accounts it.
    pub bytes: u64,
}

impl Kernel {
    /// Tries all rungs of all hooks that the user allows. Each is attached for a moment; nothing is watched meanwhile.
    pub fn probe(&mut self, layout: &Layout, choice: &HookFilter) -> Vec<Probed> {
        HOOKS.iter().map(|hook| Probed { hook, methods: self.probe_hook(hook, layout, choice) }).collect()
    }

    fn probe_hook(
        &mut self,
        hook: &'static Hook,
        layout: &Layout,
        choice: &HookFilter,
    ) -> Vec<(&'static AttachMethod, Tried)> {
        let unusable = unusable(hook, layout);
        let mut probe = |rung: &'static AttachMethod| {
            let tried = choice.allows(hook, rung).and_then(|()| self.attach_rung(rung));
            let tried = tried.and_then(|()| self.load_late(rung));
            self.release_rung(rung);
            match (tried, &unusable) {
                (Ok(()), None) => Tried::Works,
                (Ok(()), Some(why)) => Tried::Fails(why.clone()),
                (Err(error), _) => {
                    log::debug!("{} by {}: {error:#}", hook.name, rung.kind());
                    Tried::Fails(plain(&error))
                }
            }
        };
        hook.methods.iter().map(|rung| (rung, probe(rung))).collect()
    }

    /// What the maps take, largest first.
    #[must_use]
    pub fn map_sizes(&self) -> Vec<MapSize> {
        let mut sizes: Vec<_> = self.ebpf.maps().filter_map(|(name, map)| size(name, map).ok()).collect();
        sizes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        sizes
    }
}

fn size(name: &str, map: &Map) -> Result<MapSize> {
    let data: &MapData = match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data)
        | Map::StackTraceMap(data) => data,
        _ => return Err(anyhow!("no map of ours")),
    };
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd()))?;
    let number = |field| number(&info, field).ok_or_else(|| anyhow!("no {field}"));
    let entries = u32::try_from(number("max_entries:")?)?;
    Ok(MapSize { name: name.to_owned(), entries, bytes: number("memlock:")? })
}

fn number(info: &str, field: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix(field))?.trim().parse().ok()
}

/// The same without the right to try: what the kernel's BTF says it has.
#[must_use]
pub fn untried() -> Vec<Probed> {
    let all = || HOOKS.iter().flat_map(|hook| hook.methods).flat_map(|rung| rung.probes);
    let wanted: HashSet<String> = all().map(|probe| type_of(probe.attach)).collect();
    let known = btf::known(&wanted).ok();
    let there = |probe: &Probe| is_there(probe.attach, known.as_ref());
    // Without one of them a rung does not hold, but for those that may be missing.
    let needed = |rung: &AttachMethod| {
        rung.probes.iter().filter(|probe| !matches!(probe.when, When::IfThere | When::Preempted)).map(there)
    };
    let state = |rung: &AttachMethod| {
        Tried::Untried(needed(rung).try_fold(true, |so_far, there| there.map(|there| so_far && there)))
    };
    let probed = |hook: &'static Hook| Probed {
        hook,
        methods: hook.methods.iter().map(|rung| (rung, state(rung))).collect(),
    };
    HOOKS.iter().map(probed).collect()
}

/// What BTF calls the place where it is attached.
fn type_of(attach: Attach) -> String {
    match attach {
        // All system calls go through one tracepoint each way.
        Attach::Tracepoint("syscalls", name) if name.starts_with("sys_exit") => {
            "btf_trace_sys_exit".to_owned()
        }
        Attach::Tracepoint("syscalls", _) => "btf_trace_sys_enter".to_owned(),
        Attach::Raw(name) | Attach::Tracepoint(_, name) => format!("btf_trace_{name}"),
        Attach::Fentry(function)
        | Attach::Fexit(function)
        | Attach::Kprobe(function)
        | Attach::Kretprobe(function) => function.to_owned(),
    }
}

fn is_there(attach: Attach, known: Option<&HashSet<String>>) -> Option<bool> {
    let named = known?.contains(&type_of(attach));
    let possible = match attach {
        Attach::Kprobe(_) | Attach::Kretprobe(_) => {
            Path::new("/sys/bus/event_source/devices/kprobe").exists()
        }
        _ => true,
    };
    Some(named && possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_fdinfo() {
        let info = "pos:\t0\nmap_type:\t1\nmax_entries:\t32768\nmemlock:\t9437184\nmap_id:\t7\n";
        assert_eq!((number(info, "max_entries:"), number(info, "memlock:")), (Some(32768), Some(9_437_184)));
        assert_eq!(number(info, "frozen:"), None);
    }

    #[test]
    fn every_hook_is_looked_up_without_rights() {
        let probed = untried();
        assert_eq!(probed.len(), HOOKS.len());
        assert!(probed.iter().all(|hook| hook.chosen().is_none()));
        if Path::new(btf::PATH).exists() {
            let state =
                probed.iter().find(|probed| probed.hook.name == "inet_sock_set_state").expect("a hook");
            assert!(state.is_there());
        }
    }
}
