//! Empty programs on the tracer's own raw tracepoints: less than this no tracer can cost. Hidden command `floor`.

use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::libc;

/// The line that says that they are attached.
pub(crate) const READY: &str = "ready";

/// Commands and types of `linux/bpf.h`.
const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const RAW_TRACEPOINT: u32 = 17;

/// `r0 = 0; exit`.
const EMPTY: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log: [u64; 2],
    kern_version: u32,
    prog_flags: u32,
}

/// The part that attaches it.
#[repr(C)]
struct Open {
    name: u64,
    prog_fd: u32,
    pad: u32,
}

/// Attaches one to each and keeps them until stdin ends.
pub(crate) fn hold(hooks: &[String]) -> Result<()> {
    let held = hooks.iter().map(|hook| attach(hook)).collect::<Result<Vec<_>>>()?;
    println!("{READY}");
    io::stdin().read_to_end(&mut Vec::new()).context("cannot wait for the benchmark to end")?;
    drop(held);
    Ok(())
}

fn attach(hook: &str) -> Result<(OwnedFd, OwnedFd)> {
    let load = Load {
        prog_type: RAW_TRACEPOINT,
        insn_cnt: EMPTY.len() as u32,
        insns: EMPTY.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log: [0; 2],
        kern_version: 0,
        prog_flags: 0,
    };
    let program = bpf(PROG_LOAD, &load).context("the kernel refused an empty program")?;
    let name = std::ffi::CString::new(hook)?;
    let prog_fd = std::os::fd::AsRawFd::as_raw_fd(&program).cast_unsigned();
    let open = Open { name: name.as_ptr() as u64, prog_fd, pad: 0 };
    let link = bpf(RAW_TRACEPOINT_OPEN, &open).with_context(|| format!("cannot attach to {hook}"))?;
    Ok((program, link))
}

/// The system call; both commands answer with a new descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: both structures are prefixes of bpf_attr of the given size, and what they point to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
