//! Puts the kernel side into the binary, or nothing if it was not built: checks and unit tests need no BPF toolchain.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    println!("cargo:rerun-if-env-changed=UPSTREAM_TRACE_EBPF");
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("upstream-trace.bpf.o");
    let result = match env::var_os("UPSTREAM_TRACE_EBPF").map(PathBuf::from) {
        Some(object) => {
            println!("cargo:rerun-if-changed={}", object.display());
            fs::copy(&object, &target).map(drop).map_err(|error| {
                format!("cannot copy {}, which UPSTREAM_TRACE_EBPF names: {error}", object.display())
            })
        }
        None => fs::write(&target, []).map_err(|error| format!("cannot write {}: {error}", target.display())),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    println!("cargo::error={error}");
    ExitCode::FAILURE
}
