//! Walks the types of the BTF: members, sizes, enumerations, parameters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use btf_rs::{Backend, Btf, BtfType, Type};
use fallible_iterator::FallibleIterator;
use upstream_trace_common::{FieldSpec, Offsets, Registers};

use super::{DROP_REASON, HELPERS, PATH, QUEUEING_REASON, RESET_REASON, TRACEPOINTS, TRACEPOINTS_PREEMPT};

/// As large as a kernel stack: what it is part of, and on x86-64 the stack of interrupts, where BTF has only that (5.10).
/// On arm64 it may have neither.
const STACKS: [&str; 2] = ["thread_union", "irq_stack"];
const REGISTERS: &str = "pt_regs";
/// Most anonymous structures and unions that are looked into for one member; `sk_buff` has about a dozen.
const ANONYMOUS: usize = 256;

/// Maps the BTF instead of parsing it into memory: 3 MB instead of 40. sysfs allows that from 6.16 on; for older
/// kernels a copy in a memory file is mapped.
pub(super) fn open(path: &Path) -> Result<Btf> {
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
pub(super) fn find_ids(btf: &Btf) -> Result<HashMap<&'static str, u32>> {
    let structures = Offsets::FIELDS.iter().map(|field| field.structure);
    let wanted: HashMap<&str, &'static str> = structures
        .chain(TRACEPOINTS)
        .chain([DROP_REASON, QUEUEING_REASON, RESET_REASON, HELPERS, REGISTERS, TRACEPOINTS_PREEMPT])
        .chain(STACKS)
        .map(|name| (name, name))
        .collect();
    let mut ids = HashMap::new();
    let (first, _) = btf.base().type_id_range();
    let mut types = btf.type_iter();
    let mut id = first;
    while let Some(found) = types.next()? {
        if matches!(found, Type::Struct(_) | Type::Union(_) | Type::Typedef(_) | Type::Enum(_) | Type::Var(_))
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
pub(in crate::kernel) fn known(wanted: &HashSet<String>) -> Result<HashSet<String>> {
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

pub(super) fn offset_of(btf: &Btf, ids: &HashMap<&'static str, u32>, field: &FieldSpec) -> Option<u16> {
    let mut id = *ids.get(field.structure)?;
    let mut bits = 0u32;
    for part in field.path.split('.') {
        let (at, of, width) = match part.parse() {
            Ok(index) => element(btf, id, index)?,
            Err(_) => member(btf, id, part, &mut Vec::new())?,
        };
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

/// The same as of a [`member`], of an element of an array.
fn element(btf: &Btf, id: u32, index: usize) -> Option<(u32, u32, Option<u32>)> {
    let Type::Array(array) = strip(btf, id)? else { return None };
    let of = array.get_type_id().filter(|_| index < array.len())?;
    let bits = size_of(btf, of, 0)?.checked_mul(index)?.checked_mul(8)?;
    Some((u32::try_from(bits).ok()?, of, None))
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

pub(super) fn reasons(
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
pub(super) fn parameters(btf: &Btf, name: &str) -> Result<usize> {
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

pub(super) fn has_value(btf: &Btf, ids: &HashMap<&'static str, u32>, name: &str, value: &str) -> bool {
    let Some(Ok(Type::Enum(values))) = ids.get(name).map(|id| btf.resolve_type_by_id(*id)) else {
        return false;
    };
    values.members.iter().any(|member| btf.resolve_name(member).is_ok_and(|name| name == value))
}

/// The registers lie at the top of the stack.
pub(super) fn registers_at(
    btf: &Btf,
    ids: &HashMap<&'static str, u32>,
    architecture: &Registers,
) -> Option<u64> {
    let size = |name: &str| u64::try_from(size_of(btf, *ids.get(name)?, 0)?).ok();
    let stack = STACKS.into_iter().find_map(size).or_else(|| architecture.stack(procfs::page_size()))?;
    stack.checked_sub(size(REGISTERS)?)
}

pub(super) fn arguments(btf: &Btf, id: u32) -> Option<usize> {
    let Type::Ptr(pointer) = strip(btf, id)? else { return None };
    let Type::FuncProto(function) = strip(btf, pointer.get_type_id()?)? else { return None };
    // The first parameter is the tracepoint's private data.
    Some(function.parameters.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF with these types, after a header; names of types and members are positions in `strings`.
    fn btf(types: &[u32], strings: &[u8]) -> Btf {
        let length = types.len() as u32 * 4;
        let header = [0x0001_eb9f, 24, 0, length, length, strings.len() as u32];
        let mut bytes: Vec<u8> = header.iter().chain(types).flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(strings);
        Btf::from_bytes(&bytes).expect("BTF")
    }

    /// `pt_regs` of arm64 (arch/arm64/include/asm/ptrace.h, 4.x to 7.x), without what comes after `orig_x0`.
    fn of_arm64() -> Btf {
        let strings = b"\0pt_regs\0user_regs\0regs\0pstate\0orig_x0\0u64\0";
        let at = |name: &str| {
            let name = format!("\0{name}\0");
            strings.windows(name.len()).position(|bytes| bytes == name.as_bytes()).expect("a name") as u32 + 1
        };
        let (structure, union, inner, int, array) = (4 << 24, 5 << 24, 3u32, 4u32, 5u32);
        let types: [&[u32]; 5] = [
            &[at("pt_regs"), structure | 2, 280, 0, 2, 0, at("orig_x0"), int, 272 * 8],
            &[0, union | 2, 272, at("user_regs"), inner, 0, 0, inner, 0],
            &[0, structure | 2, 272, at("regs"), array, 0, at("pstate"), int, 264 * 8],
            &[at("u64"), 1 << 24, 8, 64],
            &[0, 3 << 24, 0, int, int, 31],
        ];
        btf(&types.concat(), strings)
    }

    #[test]
    fn the_registers_of_arm64_are_found() {
        let btf = of_arm64();
        let ids = find_ids(&btf).expect("types");
        let offset = |path: &'static str| {
            let field = FieldSpec { name: "x", structure: REGISTERS, path, width: 8, required: false };
            offset_of(&btf, &ids, &field)
        };
        let Registers { first, second, third, mode, .. } = Registers::AARCH64;
        assert_eq!([first, second, third, mode].map(offset), [Some(272), Some(8), Some(16), Some(264)]);
        assert_eq!(["regs.30", "regs.31", "regs", "orig_x0.1"].map(offset), [Some(240), None, None, None]);
        assert_eq!(offset(Registers::X86_64.first), None);
    }

    /// 5.10 on arm64, whose BTF has nothing that is as large as the stack.
    #[test]
    fn the_stack_of_arm64_is_known() {
        let btf = of_arm64();
        let ids = find_ids(&btf).expect("types");
        let page = procfs::page_size();
        assert_eq!(registers_at(&btf, &ids, &Registers::AARCH64), Some(page.max(16384) - 280));
        assert_eq!(registers_at(&btf, &ids, &Registers::X86_64), None);
    }

    #[test]
    fn a_variable_tells_that_tracepoints_preempt() {
        let strings = format!("\0int\0{TRACEPOINTS_PREEMPT}\0");
        let int = [1, 1 << 24, 4, 32];
        let variable = [5, 14 << 24, 1, 1];
        let found = |types: &[u32]| find_ids(&btf(types, strings.as_bytes())).expect("types");
        assert!(found(&[int, variable].concat()).contains_key(TRACEPOINTS_PREEMPT));
        assert!(!found(&int).contains_key(TRACEPOINTS_PREEMPT));
    }
}
