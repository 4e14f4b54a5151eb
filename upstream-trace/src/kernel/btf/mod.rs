//! What the running kernel's BTF says: where the fields are, what the reasons are called, which arguments the
//! tracepoints have. Nothing here is guessed; a field that is missing or of another width is reported as missing.

mod walk;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use upstream_trace_common::{DROP_PLACES, DropPlace, FieldSpec, Offsets, Registers};

use super::symbols::Symbols;
pub(super) use walk::known;
use walk::{arguments, find_ids, has_value, offset_of, open, parameters, reasons, registers_at};

/// Where the kernel publishes its BTF.
pub const PATH: &str = "/sys/kernel/btf/vmlinux";

const DROP_REASON: &str = "skb_drop_reason";
/// A list of its own from 7.1 on.
const QUEUEING_REASON: &str = "qdisc_drop_reason";
const RESET_REASON: &str = "sk_rst_reason";
/// A variable of each processor that came with tracepoints in which a process may lose its processor (7.0).
const TRACEPOINTS_PREEMPT: &str = "tracepoint_srcu_srcu_data";
const HELPERS: &str = "bpf_func_id";
const TRACEPOINTS: [&str; 4] = [
    "btf_trace_kfree_skb",
    "btf_trace_tcp_retransmit_skb",
    "btf_trace_tcp_send_reset",
    "btf_trace_sock_recv_length",
];
/// Watched where there is no tracepoint for what is received; has an argument more before 5.19.
const RECEIVE: &str = "tcp_recvmsg";

/// What was found.
#[derive(Debug)]
pub struct Layout {
    /// Offsets for the kernel side.
    pub offsets: Offsets,
    /// Fields that this kernel does not have, or has in another width.
    pub missing: Vec<&'static FieldSpec>,
    /// Names of the drop reasons, without their prefix; on kernels before 5.17 those of [`Layout::drop_places`].
    pub drop_reasons: BTreeMap<u32, String>,
    /// Where the numbers of those of queueing disciplines begin; 0 if they have no list of their own.
    pub queueing_reasons: u32,
    /// Where packets are dropped for a known reason, on kernels that give none.
    pub drop_places: [DropPlace; DROP_PLACES],
    /// Arguments of `tcp_recvmsg`, where that is watched; 0 if they are not known.
    pub receive_arguments: usize,
    /// Names of the reset reasons, without their prefix; empty on kernels before 6.10.
    pub reset_reasons: BTreeMap<u32, String>,
    /// Programs may ask for the registers with which a process entered the kernel (5.15).
    pub task_registers: bool,
    /// A process may lose its processor in the middle of a tracepoint (7.0).
    pub preempts: bool,
    /// Where these lie on the stack of a process, for programs that may not ask; 0 if that is not known.
    pub registers_at: u64,
    /// Arguments of the tracepoints, the context pointer not counted.
    arguments: HashMap<&'static str, usize>,
}

impl Default for Layout {
    /// Of a kernel that tells nothing.
    fn default() -> Self {
        Self {
            offsets: Offsets::ABSENT,
            missing: Vec::new(),
            drop_reasons: BTreeMap::new(),
            queueing_reasons: 0,
            drop_places: [DropPlace::default(); DROP_PLACES],
            receive_arguments: 0,
            reset_reasons: BTreeMap::new(),
            task_registers: false,
            preempts: false,
            registers_at: 0,
            arguments: HashMap::new(),
        }
    }
}

impl Layout {
    /// Reads the running kernel's BTF.
    pub fn read() -> Result<Self> {
        Self::read_from(Path::new(PATH)).with_context(|| {
            format!("cannot read {PATH}: this kernel was built without BTF (CONFIG_DEBUG_INFO_BTF), which is needed")
        })
    }

    /// Reads BTF from a file.
    pub fn read_from(path: &Path) -> Result<Self> {
        let btf = open(path)?;
        let ids = find_ids(&btf)?;
        let mut layout = Self {
            drop_reasons: reasons(&btf, &ids, DROP_REASON, &["SKB_DROP_REASON_", "SKB_"]),
            reset_reasons: reasons(&btf, &ids, RESET_REASON, &["SK_RST_REASON_"]),
            preempts: ids.contains_key(TRACEPOINTS_PREEMPT),
            task_registers: has_value(&btf, &ids, HELPERS, "BPF_FUNC_task_pt_regs"),
            ..Self::default()
        };
        let queueing = reasons(&btf, &ids, QUEUEING_REASON, &[]).into_iter();
        let queueing = queueing.filter(|(number, name)| *number > u32::from(u16::MAX) && !is_marker(name));
        layout
            .drop_reasons
            .extend(queueing.inspect(|(number, _)| layout.queueing_reasons = number & !0xffff));
        layout.registers_at = registers_at(&btf, &ids, &Registers::HERE).unwrap_or(0);
        for field in Offsets::FIELDS {
            match offset_of(&btf, &ids, field) {
                Some(offset) => {
                    layout.offsets.set(field.name, offset);
                }
                // Only where the kernel does not hand the registers out (before 5.15); on x86-64 of another width from 6.9
                // on.
                None if field.name == "regs_mode" && layout.task_registers => {}
                None => layout.missing.push(field),
            }
        }
        for name in TRACEPOINTS {
            if let Some(count) = ids.get(name).and_then(|id| arguments(&btf, *id)) {
                layout.arguments.insert(name, count);
            }
        }
        if layout.arguments("sock_recv_length") == 0 {
            layout.receive_arguments = parameters(&btf, RECEIVE)?;
        }
        Ok(layout)
    }

    /// On kernels that give no reason for a drop: takes the places where packets are dropped from the kernel's symbols,
    /// with numbers of our own as reasons.
    pub fn place_drops(&mut self, symbols: impl FnOnce() -> Symbols) {
        if self.arguments("kfree_skb") >= 3 {
            return;
        }
        let symbols = symbols();
        self.drop_reasons.clear();
        for (number, (range, reason)) in (1..).zip(symbols.drop_places()).take(DROP_PLACES) {
            let place = DropPlace { begin: range.start, end: range.end, reason: u64::from(number) };
            self.drop_places[number as usize - 1] = place;
            self.drop_reasons.insert(number, reason.to_owned());
        }
    }

    /// How many arguments this tracepoint passes, 0 if it is unknown.
    #[must_use]
    pub fn arguments(&self, tracepoint: &str) -> usize {
        self.arguments.iter().find(|(name, _)| name.ends_with(tracepoint)).map_or(0, |(_, count)| *count)
    }

    /// Number of the drop reason with this name.
    #[must_use]
    pub fn drop_reason(&self, name: &str) -> Option<u32> {
        self.drop_reasons.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
    }
}

/// Marks an end of an enumeration; nothing happens for this reason.
fn is_marker(name: &str) -> bool {
    ["MAX", "CONSUMED", "NOT_DROPPED_YET"].contains(&name)
        || name.starts_with("SUBSYS_")
        || name.starts_with("__")
        || name.ends_with("_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;
    use upstream_trace_core::tables;

    #[test]
    fn the_running_kernel_has_what_is_required() {
        if !Path::new(PATH).exists() {
            eprintln!("skipped: this kernel has no BTF");
            return;
        }
        let layout = Layout::read().expect("BTF is there");
        let required: Vec<_> = layout.missing.iter().filter(|field| field.required).collect();
        assert!(required.is_empty(), "{required:?}");
        // Fixed by the layout of sock_common since 4.x on 64-bit kernels.
        assert_eq!(layout.offsets.daddr, 0);
        assert_eq!(layout.offsets.state, 18);
        if cfg!(target_arch = "x86_64") {
            // The 21 registers of a system call, on top of whole pages.
            assert_eq!((layout.registers_at + 21 * 8) % 4096, 0, "{}", layout.registers_at);
        }
    }

    #[test]
    fn the_reasons_of_the_running_kernel_are_in_the_tables() {
        if !Path::new(PATH).exists() {
            eprintln!("skipped: this kernel has no BTF");
            return;
        }
        let layout = Layout::read().expect("BTF is there");
        let marker = |name: &&String| is_marker(name);
        let drops = layout.drop_reasons.values().filter(|name| !marker(name));
        let unknown: Vec<_> = drops.filter(|name| tables::drop_reason(name).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let resets = layout.reset_reasons.values().filter(|name| !marker(name));
        let unknown: Vec<_> = resets.filter(|name| tables::reset_reason(name).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    /// BTF in which `sock_common` holds anonymous structures at these offsets in bits, and these hold `skc_daddr` at
    /// bit 16 and themselves.
    fn odd(offsets: &[u32]) -> Layout {
        let strings = b"\0sock_common\0skc_daddr\0int\0";
        let (structure, inner, int) = (1u32, 2u32, 3u32);
        let kind = |kind: u32, count: usize| kind << 24 | count as u32;
        let mut types = vec![1, kind(4, offsets.len()), 4];
        for offset in offsets {
            types.extend([0, inner, *offset]);
        }
        types.extend([0, kind(4, 3), 4, 0, inner, 0, 0, structure, 0, 13, int, 16]);
        types.extend([23, kind(1, 0), 4, 32]);
        let length = types.len() as u32 * 4;
        let header = [0x0001_eb9f, 24, 0, length, length, strings.len() as u32];
        let mut bytes: Vec<u8> = header.into_iter().chain(types).flat_map(u32::to_le_bytes).collect();
        bytes.extend(strings);
        let name = format!("upstream-trace-btf-{}-{}", std::process::id(), offsets.len());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("a file");
        let layout = Layout::read_from(&path).expect("BTF");
        std::fs::remove_file(&path).expect("its end");
        layout
    }

    #[test]
    fn odd_descriptions_are_not_believed() {
        assert_eq!(odd(&[8]).offsets.daddr, 3);
        assert_eq!(odd(&[u32::MAX - 7, 8]).offsets.daddr, upstream_trace_common::ABSENT);
        let missing = odd(&[8; 1000]).missing;
        assert!(
            missing.iter().any(|field| field.name == "dport")
                && missing.iter().all(|field| field.name != "daddr")
        );
    }
}
