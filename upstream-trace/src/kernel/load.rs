//! Loads the programs for this kernel and attaches them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow, bail};
use aya::maps::{Map, MapData};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use aya_log::EbpfLogger;
use upstream_trace_common::{DROP_BITS, Offsets, UpstreamCounters, drop_bit};
use upstream_trace_core::hooks::{HOOKS, Hook, Probe, When};
use upstream_trace_core::{event, tables};

use super::attach::{Functions, Link};
use super::btf::Layout;
use super::refusal;

/// The kernel side, or nothing if the program was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/upstream-trace.bpf.o"));

/// How often a program ran, and how long altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// How often.
    pub count: u64,
    /// Nanoseconds.
    pub nanos: u64,
}

/// What can be got ready before it is known what to watch, each on a thread of its own.
#[derive(Debug)]
pub struct Prepared {
    layout: JoinHandle<Result<Layout>>,
    loader: JoinHandle<EbpfLoader<'static>>,
}

impl Prepared {
    /// Begins to get ready.
    #[must_use]
    pub fn begin() -> Self {
        Self { layout: thread::spawn(Layout::read), loader: thread::spawn(loader) }
    }

    /// Waits until it is.
    pub fn take(self) -> Result<(Layout, EbpfLoader<'static>)> {
        let layout = self.layout.join().map_err(|_| anyhow!("reading the kernel's types failed"))??;
        let loader = self.loader.join().map_err(|_| anyhow!("getting ready to load programs failed"))?;
        Ok((layout, loader))
    }
}

/// A loader that relocates nothing. Making one reads all of the kernel's types, whether they are wanted or not: 20 ms.
#[must_use]
pub fn loader() -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    loader
}

/// Sizes of the maps that are not always the same.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Upstream connections at a time.
    pub connections: u32,
    /// Upstream connections that are open before the hooks are attached.
    pub open: u32,
    /// Bytes of the ring buffer.
    pub buffer: u32,
    /// Processors that the kernel may ever have: there are counters for each.
    pub processors: usize,
}

/// Processors that the kernel may ever have; one if it does not say.
#[must_use]
pub fn possible_processors() -> usize {
    aya::util::nr_cpus().unwrap_or(1)
}

/// Programs in the kernel; they go away with this value.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    /// What the kernel side has to say for itself; rare.
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Hooks with their fate.
    pub hooks: Vec<event::Hook>,
    pub(super) functions: Functions,
    /// Stand-ins are attached.
    pub(super) stands_in: bool,
    /// What is attached, by program.
    pub(super) links: Vec<(&'static str, Link)>,
    /// What is not attached before it is needed.
    pub(super) late: Vec<&'static Probe>,
}

impl Kernel {
    /// Loads for this kernel; nothing is attached yet.
    pub fn load(loader: EbpfLoader<'static>, layout: &Layout, sizes: &Sizes) -> Result<Self> {
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
        // Names are stable, numbers are not.
        let of_interest = layout.drop_reasons.iter().filter(|(_, reason)| tables::worth_noting(reason));
        let bits = of_interest.map(|(number, _)| drop_bit(*number, layout.queueing_reasons));
        for bit in bits.filter(|bit| *bit < DROP_BITS) {
            wanted[bit as usize / 64] |= 1 << (bit % 64);
        }
        let invalid_syn = layout.drop_reason("TCP_INVALID_SYN").unwrap_or(0);
        let at_least = |tracepoint, arguments| u8::from(layout.arguments(tracepoint) >= arguments);
        // Borrows the numbers above.
        let mut loader: EbpfLoader<'_> = loader;
        let mut ebpf = loader
            .verifier_log_level(verifier_log())
            .override_global::<&Offsets>("OFFSETS", &layout.offsets, true)
            .override_global("DROP_REASONS", &wanted, true)
            .override_global("QUEUEING_REASONS", &layout.queueing_reasons, true)
            .override_global("REASON_INVALID_SYN", &invalid_syn, true)
            .override_global("PLACES", &layout.drop_places, true)
            .override_global("RECVMSG_NONBLOCK", &u8::from(layout.receive_arguments == 6), true)
            .override_global("KFREE_REASON", &at_least("kfree_skb", 3), true)
            .override_global("KFREE_RX_SK", &at_least("kfree_skb", 4), true)
            .override_global("RETRANSMIT_ERR", &at_least("tcp_retransmit_skb", 3), true)
            .override_global("RESET_REASON", &at_least("tcp_send_reset", 3), true)
            .override_global("PREEMPTS", &u8::from(layout.preempts), true)
            .override_global("TASK_REGISTERS", &u8::from(layout.task_registers), true)
            .override_global("WAKEUP_BYTES", &u64::from(sizes.buffer / 4), true)
            .override_global("REGISTERS_AT", &layout.registers_at, true)
            .map_max_entries("RECORDS", sizes.connections)
            .map_max_entries("UNIX_FDS", sizes.connections)
            .map_max_entries("ADOPTABLE", sizes.open.max(1))
            .map_max_entries("EVENTS", sizes.buffer)
            .map_max_entries("UPSTREAMS", UpstreamCounters::room(sizes.processors))
            .load(OBJECT)
            .map_err(|error| refusal::of_maps(error.into()))?;
        // Without it only remarks are lost; what counts is counted in the maps.
        let logger = EbpfLogger::init(&mut ebpf).map_err(|error| log::debug!("{error}")).ok();
        Ok(Self {
            ebpf,
            logger,
            hooks: Vec::new(),
            functions: Functions::default(),
            stands_in: layout.preempts,
            links: Vec::new(),
            late: Vec::new(),
        })
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

    /// Runs of each program while the kernel's statistics were on.
    #[must_use]
    pub fn runs(&self) -> BTreeMap<String, Runs> {
        let mut runs = BTreeMap::new();
        for (name, program) in self.ebpf.programs() {
            if let Ok(info) = info(program) {
                let nanos = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
                runs.insert(name.to_owned(), Runs { count: info.run_count(), nanos });
            }
        }
        runs
    }

    /// Runs of hooks that the kernel left out so far, since the same program ran on that processor (5.12 to 7.2; 0 where it
    /// does not say), whether a stand-in handled them or not. Not of hooks that only add to what others tell, unless they have
    /// a stand-in; nor, where only an interrupt comes in between (before 7.0), of those that have a stand-in elsewhere: a record
    /// learns from its socket what that changed.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        let of_hook = |hook: &'static Hook| {
            let decides = hook.provides.iter().any(|signal| signal.decides());
            let probes = hook.methods.iter().flat_map(|method| method.probes);
            probes.filter(move |probe| if has_stand_in(probe) { self.stands_in } else { decides })
        };
        let probes = HOOKS.iter().flat_map(of_hook).filter(|probe| probe.when != When::Preempted);
        let programs: HashSet<_> = probes.map(|probe| probe.program).collect();
        programs.into_iter().filter_map(|name| left_out(self.ebpf.program(name)?)).sum()
    }
}

/// Whether another program handles what this one does not get.
fn has_stand_in(probe: &Probe) -> bool {
    let all = HOOKS.iter().flat_map(|hook| hook.methods).flat_map(|method| method.probes);
    all.filter(|other| other.when == When::Preempted).any(|other| other.attach == probe.attach)
}

fn left_out(program: &Program) -> Option<u64> {
    let fd = program.fd().ok()?.as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

fn info(program: &Program) -> Result<aya::programs::ProgramInfo, ProgramError> {
    match program {
        Program::RawTracePoint(p) => p.info(),
        Program::TracePoint(p) => p.info(),
        Program::FEntry(p) => p.info(),
        Program::FExit(p) => p.info(),
        Program::KProbe(p) => p.info(),
        _ => Err(ProgramError::NotLoaded),
    }
}

/// The verifier's reasons cost time and are for developers: `RUST_LOG=debug`.
fn verifier_log() -> VerifierLogLevel {
    if log::log_enabled!(log::Level::Debug) { VerifierLogLevel::DEBUG } else { VerifierLogLevel::DISABLE }
}

/// A map's data, for callers that keep it.
pub type Data = MapData;
