//! Loads the programs for this kernel and attaches them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use aya::maps::{Map, MapData};
use aya::programs::{FEntry, KProbe, Program, ProgramError, RawTracePoint, TracePoint};
use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel};
use aya_log::EbpfLogger;
use upstream_trace_common::Offsets;
use upstream_trace_core::event;

use super::btf::Layout;
use super::hooks::{Attach, HOOKS, Hook, Need, Rung};

/// The kernel side, or nothing if the program was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/upstream-trace.bpf.o"));

/// Drop reasons that concern a connection of nginx. Names are stable, numbers are not.
const DROP_REASONS: &[&str] = &[
    "NETFILTER_DROP",
    "NEIGH_FAILED",
    "NEIGH_QUEUEFULL",
    "NEIGH_DEAD",
    "NEIGH_CREATEFAIL",
    "IP_OUTNOROUTES",
    "IP_RPFILTER",
    "BPF_CGROUP_EGRESS",
    "TC_EGRESS",
    "TC_INGRESS",
    "XDP",
    "QDISC_DROP",
    "QDISC_OVERLIMIT",
    "QDISC_CONGESTED",
    "SECURITY_HOOK",
    "SOCKET_FILTER",
    "TCP_CSUM",
    "TCP_INVALID_SYN",
    "TCP_LISTEN_OVERFLOW",
    "PKT_TOO_BIG",
];

/// Programs in the kernel; they go away with this value.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    /// What the kernel side has to say for itself; rare.
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Hooks with their fate.
    pub hooks: Vec<event::Hook>,
}

impl Kernel {
    /// Loads for this kernel; nothing is attached yet.
    pub fn load(layout: &Layout, max_connections: u32) -> Result<Self> {
        if OBJECT.is_empty() {
            bail!("this binary was built without its kernel side; build it with `cargo xtask build`");
        }
        if let Some(field) = layout.missing.iter().find(|field| field.required) {
            bail!(
                "this kernel's BTF has no field {}.{} of {} bytes, without which nothing can be traced; please report it",
                field.structure,
                field.path,
                field.width
            );
        }
        let mut wanted = [0u64; 4];
        for number in
            DROP_REASONS.iter().filter_map(|name| layout.drop_reason(name)).filter(|number| *number < 256)
        {
            wanted[number as usize / 64] |= 1 << (number % 64);
        }
        let invalid_syn = layout.drop_reason("TCP_INVALID_SYN").unwrap_or(0);
        let at_least = |tracepoint, arguments| u8::from(layout.arguments(tracepoint) >= arguments);
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .verifier_log_level(verifier_log())
            .override_global::<&Offsets>("OFFSETS", &layout.offsets, true)
            .override_global("DROP_REASONS", &wanted, true)
            .override_global("REASON_INVALID_SYN", &invalid_syn, true)
            .override_global("KFREE_REASON", &at_least("kfree_skb", 3), true)
            .override_global("KFREE_RX_SK", &at_least("kfree_skb", 4), true)
            .override_global("RETRANSMIT_ERR", &at_least("tcp_retransmit_skb", 3), true)
            .override_global("RESET_REASON", &at_least("tcp_send_reset", 3), true)
            .map_max_entries("RECORDS", max_connections)
            .map_max_entries("UNIX_FDS", max_connections)
            .load(OBJECT)
            .context("the kernel refused the maps")?;
        // Without it only remarks are lost; what counts is counted in the maps.
        let logger = EbpfLogger::init(&mut ebpf).map_err(|error| log::debug!("{error}")).ok();
        Ok(Self { ebpf, logger, hooks: Vec::new() })
    }

    /// Attaches every hook that this kernel allows; an error if a required one is refused.
    pub fn attach(&mut self, layout: &Layout) -> Result<()> {
        for hook in HOOKS.iter().filter(|hook| hook.need != Need::OnUnix) {
            let state = self.attach_hook(hook, layout);
            if hook.need == Need::Required && !state.attached {
                bail!("cannot attach to {}: {}", hook.name, state.why.unwrap_or_default());
            }
            self.hooks.push(state);
        }
        Ok(())
    }

    /// Attaches what is only needed for unix upstreams.
    pub fn attach_for_unix(&mut self, layout: &Layout) {
        for hook in HOOKS.iter().filter(|hook| hook.need == Need::OnUnix) {
            let state = self.attach_hook(hook, layout);
            self.hooks.push(state);
        }
    }

    fn attach_hook(&mut self, hook: &Hook, layout: &Layout) -> event::Hook {
        let mut state = event::Hook {
            name: hook.name.to_owned(),
            kind: hook.rungs[0].attach.kind().to_owned(),
            attached: false,
            why: None,
            costs: None,
        };
        for rung in hook.rungs {
            rung.attach.kind().clone_into(&mut state.kind);
            match self.attach_rung(rung) {
                Ok(()) => {
                    state.attached = true;
                    state.why = None;
                    break;
                }
                Err(error) => {
                    log::debug!("{} on {}: {error:#}", rung.program, hook.name);
                    state.why = Some(plain(&error));
                }
            }
        }
        if let Some(why) = unusable(hook, layout) {
            state.attached = false;
            state.why = Some(why);
        }
        if !state.attached && hook.need != Need::Extra {
            state.costs = Some(hook.costs.to_owned());
        }
        state
    }

    pub(super) fn attach_rung(&mut self, rung: &Rung) -> Result<()> {
        let program = self
            .ebpf
            .program_mut(rung.program)
            .ok_or_else(|| anyhow!("the kernel side has no {}", rung.program))?;
        match rung.attach {
            Attach::Raw(name) => {
                let program: &mut RawTracePoint = program.try_into()?;
                program.load()?;
                program.attach(name)?;
            }
            Attach::Tracepoint(category, name) => {
                let program: &mut TracePoint = program.try_into()?;
                program.load()?;
                program.attach(category, name)?;
            }
            Attach::Fentry(function) => {
                // Where the kernel has no function tracing at all it refuses late; reading its BTF costs 15 ms.
                if !Path::new("/sys/kernel/tracing/available_filter_functions").exists() {
                    bail!("this kernel has no function tracing");
                }
                std::fs::File::open("/sys/kernel/tracing/available_filter_functions")?;
                let btf = Btf::from_sys_fs()?;
                let program: &mut FEntry = program.try_into()?;
                program.load(function, &btf)?;
                program.attach()?;
            }
            Attach::Kprobe(function) => {
                if !Path::new("/sys/bus/event_source/devices/kprobe").exists() {
                    bail!("this kernel has no kprobes");
                }
                let program: &mut KProbe = program.try_into()?;
                program.load()?;
                program.attach(function, 0)?;
            }
        }
        Ok(())
    }

    /// Passes on what the kernel side remarked.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Takes a map out; each can be taken once.
    pub fn map(&mut self, name: &str) -> Result<Map> {
        self.ebpf.take_map(name).ok_or_else(|| anyhow!("the kernel side has no map {name}"))
    }

    /// Runs and mean nanoseconds per program, if the kernel's statistics are on.
    #[must_use]
    pub fn overhead(&self) -> BTreeMap<String, (u64, u64)> {
        let mut runs = BTreeMap::new();
        for (name, program) in self.ebpf.programs() {
            if let Ok(info) = info(program)
                && info.run_count() > 0
            {
                let mean = info.run_time().as_nanos() / u128::from(info.run_count());
                runs.insert(name.to_owned(), (info.run_count(), u64::try_from(mean).unwrap_or(u64::MAX)));
            }
        }
        runs
    }
}

fn info(program: &Program) -> Result<aya::programs::ProgramInfo, ProgramError> {
    match program {
        Program::RawTracePoint(p) => p.info(),
        Program::TracePoint(p) => p.info(),
        Program::FEntry(p) => p.info(),
        Program::KProbe(p) => p.info(),
        _ => Err(ProgramError::NotLoaded),
    }
}

/// The verifier's reasons cost time and are for developers: `RUST_LOG=debug`.
fn verifier_log() -> VerifierLogLevel {
    if log::log_enabled!(log::Level::Debug) { VerifierLogLevel::DEBUG } else { VerifierLogLevel::DISABLE }
}

/// Why this hook says nothing although it can be attached.
pub(super) fn unusable(hook: &Hook, layout: &Layout) -> Option<String> {
    let silent = hook.name == "kfree_skb" && layout.arguments("kfree_skb") < 3;
    silent.then(|| "this kernel gives no reason for a drop (it came with 5.17)".to_owned())
}

/// The innermost reason, without the library's wording around it.
pub(super) fn plain(error: &anyhow::Error) -> String {
    let text = error.root_cause().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.split(" (os error").next().unwrap_or(line).to_owned()
}

/// A map's data, for callers that keep it.
pub type Data = MapData;
