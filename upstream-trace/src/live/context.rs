//! What several sources need: the kernel side, the processes, and where to put what they bring.

use jiff::Timestamp;
use upstream_trace_common::{Addr, Record, UnixPath, stats};
use upstream_trace_core::event::{Attempt, Event, Host, Nanos, Upstream};
use upstream_trace_core::verdict::Note;

use crate::kernel::btf::Layout;
use crate::kernel::decode::{self, Decoder, Message};
use crate::kernel::hook_filter::HookFilter;
use crate::kernel::load::Kernel;
use crate::kernel::symbols::LateSymbols;
use crate::kernel::tables::Tables;
use crate::nginx::WatchedNginx;

/// The kernel side and the processes.
pub(super) struct Context {
    pub(super) kernel: Kernel,
    pub(super) tables: Tables,
    pub(super) layout: Layout,
    pub(super) symbols: LateSymbols,
    pub(super) nginx: WatchedNginx,
    /// As it was said at the start.
    pub(super) host: Host,
    /// `--slow`, nanoseconds.
    pub(super) slow: Nanos,
    /// `--hooks`.
    pub(super) choice: HookFilter,
}

impl Context {
    /// A message of the ring buffer; `None` if it is malformed.
    pub(super) fn message(&mut self, bytes: &[u8]) -> Option<Message> {
        let decoder = Decoder { layout: &self.layout, symbols: &self.symbols };
        decoder.message(bytes, |id| self.tables.path(id))
    }

    /// An attempt from its record.
    pub(super) fn attempt(&mut self, record: &Record) -> Option<Attempt> {
        let decoder = Decoder { layout: &self.layout, symbols: &self.symbols };
        decoder.attempt(record, |id| self.tables.path(id))
    }

    /// The host as it is now. Versions of nginx stay those of the start: reading them takes time.
    pub(super) fn host_now(&self, now: Nanos) -> Host {
        Host {
            at: now,
            unix_us: Timestamp::now().as_microsecond(),
            hooks: self.kernel.hooks.clone(),
            masters: self.nginx.masters.iter().copied().collect(),
            workers: self.nginx.worker_pids(),
            ..self.host.clone()
        }
    }

    /// Runs of hooks that the kernel left out and that no stand-in handled.
    pub(super) fn left_out(&self) -> u64 {
        let all = self.kernel.left_out();
        let stood_in = self.tables.sums().map_or(0, |sums| sums[stats::STOOD_IN as usize]);
        all.saturating_sub(stood_in)
    }

    /// The upstream with this key of the counters.
    pub(super) fn upstream(&mut self, key: &Addr) -> Option<Upstream> {
        if let Some(address) = decode::socket_addr(key) {
            return Some(Upstream::Tcp(address));
        }
        let [a, b, c, d, ..] = key.ip;
        let path = self.tables.path(u32::from_ne_bytes([a, b, c, d]))?;
        Some(Upstream::Unix(decode::path_text(UnixPath::as_bytes(&path))))
    }
}

/// What a source brings.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) notes: Vec<Note>,
}

impl Batch {
    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn note(&mut self, at: Nanos, text: String) {
        self.notes.push(Note { at, text });
    }
}
