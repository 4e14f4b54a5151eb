//! Puts the kernel side into the binary, or nothing if it was not built: checks and unit tests need no BPF toolchain.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use object::build::elf::{Builder, SectionData};
use object::elf::{SHT_STRTAB, STT_FILE};

/// Shared with the unit tests of the program.
#[path = "src/kernel/abi.rs"]
mod abi;

fn main() -> ExitCode {
    println!("cargo:rerun-if-env-changed=UPSTREAM_TRACE_EBPF");
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("upstream-trace.bpf.o");
    let result = match env::var_os("UPSTREAM_TRACE_EBPF").map(PathBuf::from) {
        Some(object) => {
            println!("cargo:rerun-if-changed={}", object.display());
            copy(&object, &target).map_err(|error| {
                format!("cannot embed {}, which UPSTREAM_TRACE_EBPF names: {error}", object.display())
            })
        }
        None => fs::write(&target, []).map_err(|error| format!("cannot write {}: {error}", target.display())),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    println!("cargo::error={error}");
    ExitCode::FAILURE
}

/// Without what is for debuggers only: four fifths of the object, which would be read, and kept in memory, at each start.
fn copy(object: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let data = fs::read(object)?;
    abi::check(&data, upstream_trace_common::ABI)?;
    let mut elf = Builder::read(data.as_slice())?;
    for section in &mut elf.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    // Names that the compiler makes hold a hash of the folder of the source: what two clones build would differ. Nobody
    // asks for functions by name but for programs, which are not mangled.
    for (number, symbol) in elf.symbols.iter_mut().enumerate() {
        symbol.delete = symbol.st_type() == STT_FILE;
        if symbol.name.starts_with(MANGLED) {
            symbol.name = format!("function_{number}").into_bytes().into();
        }
    }
    elf.delete_orphans();
    // The linker keeps the names of sections among those of symbols; the writer wants them apart.
    let names = elf.sections.add();
    (names.name, names.sh_type, names.data) = (".shstrtab".into(), SHT_STRTAB, SectionData::SectionString);
    let mut stripped = Vec::new();
    elf.write(&mut stripped)?;
    if let Some(at) = stripped.windows(MANGLED.len()).position(|bytes| bytes == MANGLED) {
        let name: String =
            stripped[at..].iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
        return Err(format!("{name} is in the BTF of the kernel side: give it `#[unsafe(no_mangle)]`").into());
    }
    Ok(fs::write(target, stripped)?)
}

/// How mangled names begin.
const MANGLED: &[u8] = b"_RNv";
