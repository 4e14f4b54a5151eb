//! What the running kernel's BTF says: where the fields are, what the reasons are called, which arguments the
//! tracepoints have. Nothing here is guessed; a field that is missing or of another width is reported as missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use btf_rs::{Backend, Btf, BtfType, Type};
use fallible_iterator::FallibleIterator;
use upstream_trace_common::{DROP_PLACES, DropPlace, FieldSpec, Offsets};

use super::symbols::Symbols;

/// Where the kernel publishes its BTF.
pub const PATH: &str = "/sys/kernel/btf/vmlinux";

const DROP_REASON: &str = "skb_drop_reason";
const RESET_REASON: &str = "sk_rst_reason";
const HELPERS: &str = "bpf_func_id";
/// As large as a kernel stack: what it is part of, and on x86-64 the stack of interrupts, where BTF has only that (5.10).
const STACKS: [&str; 2] = ["thread_union", "irq_stack"];
const REGISTERS: &str = "pt_regs";
/// Most anonymous structures and unions that are looked into for one member; `sk_buff` has about a dozen.
const ANONYMOUS: usize = 256;
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
    /// Where packets are dropped for a known reason, on kernels that give none.
    pub drop_places: [DropPlace; DROP_PLACES],
    /// Arguments of `tcp_recvmsg`, where that is watched; 0 if they are not known.
    pub receive_arguments: usize,
    /// Names of the reset reasons, without their prefix; empty on kernels before 6.10.
    pub reset_reasons: BTreeMap<u32, String>,
    /// Programs may ask for the registers with which a process entered the kernel (5.15).
    pub task_registers: bool,
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
            drop_places: [DropPlace::default(); DROP_PLACES],
            receive_arguments: 0,
            reset_reasons: BTreeMap::new(),
            task_registers: false,
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
            task_registers: has_value(&btf, &ids, HELPERS, "BPF_FUNC_task_pt_regs"),
            ..Self::default()
        };
        if cfg!(target_arch = "x86_64") {
            layout.registers_at = registers_at(&btf, &ids).unwrap_or(0);
        }
        for field in Offsets::FIELDS {
            match offset_of(&btf, &ids, field) {
                Some(offset) => {
                    layout.offsets.set(field.name, offset);
                }
                // Only where the kernel does not hand the registers out (before 5.15); of another width from 6.9 on.
                None if field.name == "regs_code" && layout.task_registers => {}
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

/// Maps the BTF instead of parsing it into memory: 3 MB instead of 40. sysfs allows that from 6.16 on; for older
/// kernels a copy in a memory file is mapped.
fn open(path: &Path) -> Result<Btf> {
    if let Ok(btf) = Btf::from_file_with_backend(path, Backend::Mmap) {
        return Ok(btf);
    }
    let mut source = File::open(path)?;
    let memory: OwnedFd = nix::sys::memfd::memfd_create(c"btf", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut copy = File::from(memory);
    io::copy(&mut source, &mut copy)?;
    Ok(Btf::from_file_with_backend(format!("/proc/self/fd/{}", copy.as_raw_fd()), Backend::Mmap)?)
}

/// Ids of the types of interest, in one pass: looking a name up is a pass over all types.
fn find_ids(btf: &Btf) -> Result<HashMap<&'static str, u32>> {
    let structures = Offsets::FIELDS.iter().map(|field| field.structure);
    let wanted: HashMap<&str, &'static str> = structures
        .chain(TRACEPOINTS)
        .chain([DROP_REASON, RESET_REASON, HELPERS, REGISTERS])
        .chain(STACKS)
        .map(|name| (name, name))
        .collect();
    let mut ids = HashMap::new();
    let (first, _) = btf.base().type_id_range();
    let mut types = btf.type_iter();
    let mut id = first;
    while let Some(found) = types.next()? {
        if matches!(found, Type::Struct(_) | Type::Union(_) | Type::Typedef(_) | Type::Enum(_))
            && let Some(name) = found.as_btf_type().and_then(|t| btf.resolve_name(t).ok())
            && let Some(name) = wanted.get(name.as_str())
        {
            ids.entry(*name).or_insert(id);
        }
        id += 1;
    }
    Ok(ids)
}

/// Which of these types and functions the running kernel's BTF has.
pub(super) fn known(wanted: &HashSet<String>) -> Result<HashSet<String>> {
    let btf = open(Path::new(PATH))?;
    let mut types = btf.type_iter();
    let mut known = HashSet::new();
    while let Some(found) = types.next()? {
        if matches!(found, Type::Typedef(_) | Type::Func(_))
            && let Some(name) = found.as_btf_type().and_then(|t| btf.resolve_name(t).ok())
            && wanted.contains(&name)
        {
            known.insert(name);
        }
    }
    Ok(known)
}

fn offset_of(btf: &Btf, ids: &HashMap<&'static str, u32>, field: &FieldSpec) -> Option<u16> {
    let mut id = *ids.get(field.structure)?;
    let mut bits = 0u32;
    for part in field.path.split('.') {
        let (at, of, width) = member(btf, id, part, &mut Vec::new())?;
        if width.is_some() {
            return None;
        }
        bits = bits.checked_add(at)?;
        id = of;
    }
    let width = size_of(btf, id, 0)?;
    (bits.is_multiple_of(8) && width == usize::from(field.width))
        .then(|| u16::try_from(bits / 8).ok())
        .flatten()
}

/// Offset in bits, type and bit-field width of a member, looking into anonymous structures and unions, into each but
/// once.
fn member(btf: &Btf, id: u32, name: &str, seen: &mut Vec<u32>) -> Option<(u32, u32, Option<u32>)> {
    if seen.contains(&id) || seen.len() > ANONYMOUS {
        return None;
    }
    seen.push(id);
    let (Type::Struct(structure) | Type::Union(structure)) = strip(btf, id)? else { return None };
    for member in &structure.members {
        let id = member.get_type_id()?;
        let own = btf.resolve_name(member).unwrap_or_default();
        if own == name {
            let width = member.bitfield_size().filter(|width| *width != 0);
            return Some((member.bit_offset(), id, width));
        }
        if own.is_empty()
            && let Some((bits, id, width)) = self::member(btf, id, name, seen)
        {
            return Some((member.bit_offset().checked_add(bits)?, id, width));
        }
    }
    None
}

/// The type behind typedefs and qualifiers.
fn strip(btf: &Btf, id: u32) -> Option<Type> {
    let mut found = btf.resolve_type_by_id(id).ok()?;
    for _ in 0..16 {
        let next = match &found {
            Type::Typedef(t) => t.get_type_id(),
            Type::Const(t) | Type::Volatile(t) | Type::Restrict(t) => t.get_type_id(),
            Type::TypeTag(t) => t.get_type_id(),
            _ => return Some(found),
        }?;
        found = btf.resolve_type_by_id(next).ok()?;
    }
    None
}

fn size_of(btf: &Btf, id: u32, depth: u8) -> Option<usize> {
    if depth > 8 {
        return None;
    }
    Some(match strip(btf, id)? {
        Type::Int(t) => t.size(),
        Type::Ptr(_) => std::mem::size_of::<usize>(),
        Type::Struct(t) | Type::Union(t) => t.size(),
        Type::Enum(t) => t.size(),
        Type::Array(t) => t.len().checked_mul(size_of(btf, t.get_type_id()?, depth + 1)?)?,
        _ => return None,
    })
}

fn reasons(
    btf: &Btf,
    ids: &HashMap<&'static str, u32>,
    name: &str,
    prefixes: &[&str],
) -> BTreeMap<u32, String> {
    let Some(Ok(Type::Enum(reasons))) = ids.get(name).map(|id| btf.resolve_type_by_id(*id)) else {
        return BTreeMap::new();
    };
    let mut names = BTreeMap::new();
    for reason in &reasons.members {
        if let Ok(name) = btf.resolve_name(reason) {
            let short = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
            names.insert(reason.val(), short.to_owned());
        }
    }
    names
}

/// How many parameters a function of the kernel has, 0 if there is no such function.
fn parameters(btf: &Btf, name: &str) -> Result<usize> {
    let mut types = btf.type_iter();
    while let Some(found) = types.next()? {
        if let Type::Func(function) = &found
            && btf.resolve_name(function).is_ok_and(|known| known == name)
            && let Some(Type::FuncProto(prototype)) = function.get_type_id().and_then(|id| strip(btf, id))
        {
            return Ok(prototype.parameters.len());
        }
    }
    Ok(0)
}

fn has_value(btf: &Btf, ids: &HashMap<&'static str, u32>, name: &str, value: &str) -> bool {
    let Some(Ok(Type::Enum(values))) = ids.get(name).map(|id| btf.resolve_type_by_id(*id)) else {
        return false;
    };
    values.members.iter().any(|member| btf.resolve_name(member).is_ok_and(|name| name == value))
}

/// The registers lie at the top of the stack.
fn registers_at(btf: &Btf, ids: &HashMap<&'static str, u32>) -> Option<u64> {
    let size = |name: &str| size_of(btf, *ids.get(name)?, 0);
    let stack = STACKS.into_iter().find_map(size)?;
    u64::try_from(stack.checked_sub(size(REGISTERS)?)?).ok()
}

fn arguments(btf: &Btf, id: u32) -> Option<usize> {
    let Type::Ptr(pointer) = strip(btf, id)? else { return None };
    let Type::FuncProto(function) = strip(btf, pointer.get_type_id()?)? else { return None };
    // The first parameter is the tracepoint's private data.
    Some(function.parameters.len().saturating_sub(1))
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
        let marker = |name: &&String| {
            ["MAX", "CONSUMED", "NOT_DROPPED_YET"].contains(&name.as_str()) || name.starts_with("SUBSYS_")
        };
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
