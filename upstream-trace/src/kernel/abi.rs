//! Whether the kernel side was built from the same declarations as the program. The build script asks when it embeds the
//! object, so that no binary exists in which the two sides disagree; the program has this module in its tests only.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// Symbol under which the kernel side carries [`upstream_trace_common::ABI`].
const SYMBOL: &str = "ABI";

/// Checks that the object carries `expected`; the error says what to do.
pub(crate) fn check(object: &[u8], expected: u64) -> Result<(), String> {
    match find(object).map_err(|error| format!("it is no object file: {error}"))? {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(format!(
            "it was built from other declarations than this program ({found:#x}, not {expected:#x}); build both sides \
             again with `cargo xtask build`"
        )),
        None => Err(format!(
            "it has no symbol {SYMBOL} of 8 bytes: it is no kernel side of this program, or one of an earlier version; \
             build both sides with `cargo xtask build`"
        )),
    }
}

/// The fingerprint in the object, if it has one.
fn find(object: &[u8]) -> object::Result<Option<u64>> {
    let file = object::File::parse(object)?;
    let Some(symbol) = file.symbols().find(|symbol| symbol.name() == Ok(SYMBOL)) else { return Ok(None) };
    let Some(index) = symbol.section_index() else { return Ok(None) };
    let section = file.section_by_index(index)?;
    let bytes = section.data_range(symbol.address(), size_of::<u64>() as u64)?;
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map(if file.is_little_endian() { u64::from_le_bytes } else { u64::from_be_bytes }))
}

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::build::elf::{Builder, SectionData};
    use object::elf::{EM_BPF, ET_REL, SHF_ALLOC, SHT_PROGBITS, SHT_STRTAB, SHT_SYMTAB};

    use super::*;

    /// An object with this symbol, 8 bytes into its data.
    fn object(name: &str, value: u64) -> Vec<u8> {
        let mut elf = Builder::new(Endianness::Little, true);
        (elf.header.e_type, elf.header.e_machine) = (ET_REL, EM_BPF);
        let data = elf.sections.add();
        (data.name, data.sh_type, data.sh_flags) = (".rodata".into(), SHT_PROGBITS, SHF_ALLOC.into());
        data.data = SectionData::Data([[7; 8], value.to_le_bytes()].concat().into());
        let data = data.id();
        for (name, kind, content) in [
            (".symtab", SHT_SYMTAB, SectionData::Symbol),
            (".strtab", SHT_STRTAB, SectionData::String),
            (".shstrtab", SHT_STRTAB, SectionData::SectionString),
        ] {
            let section = elf.sections.add();
            (section.name, section.sh_type, section.data) = (name.into(), kind, content);
        }
        let symbol = elf.symbols.add();
        (symbol.name, symbol.section) = (name.as_bytes().to_vec().into(), Some(data));
        (symbol.st_value, symbol.st_size) = (8, 8);
        let mut bytes = Vec::new();
        elf.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn only_the_same_declarations_will_do() {
        assert_eq!(check(&object("ABI", 5), 5), Ok(()));
        let error = check(&object("ABI", 5), 6).unwrap_err();
        assert!(error.contains("0x5, not 0x6") && error.contains("cargo xtask build"), "{error}");
    }

    #[test]
    fn what_is_no_kernel_side() {
        assert!(check(&object("ANY", 5), 5).unwrap_err().contains("no symbol ABI"));
        assert!(check(b"\x7fELF", 5).unwrap_err().contains("no object file"));
        let cut = object("ABI", 5);
        for end in 0..cut.len() {
            assert_ne!(check(&cut[..end], 6), Ok(()));
        }
    }
}
