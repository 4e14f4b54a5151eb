//! The kernel's description of its own types.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};
use upstream_trace::kernel::btf::Layout;

use crate::Target;

/// Takes a file as `/sys/kernel/btf/vmlinux` is one.
pub(crate) const TARGET: Target = Target::of_bytes("btf", run);

fn run(bytes: &[u8]) {
    // As in the program: the file is mapped.
    let Ok(memory) = memfd_create(c"btf", MFdFlags::MFD_CLOEXEC) else { return };
    let mut file = std::fs::File::from(memory);
    if file.write_all(bytes).is_err() {
        return;
    }
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if let Ok(layout) = Layout::read_from(&path) {
        assert!(layout.arguments("btf_trace_kfree_skb") <= bytes.len());
    }
}
