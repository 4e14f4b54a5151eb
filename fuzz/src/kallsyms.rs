//! The names and addresses of the kernel's functions.

use upstream_trace::kernel::symbols::Symbols;

use crate::Target;

/// Takes lines as those of `/proc/kallsyms`.
pub(crate) const TARGET: Target = Target::of_bytes("kallsyms", run);

fn run(bytes: &[u8]) {
    let symbols = Symbols::parse(bytes);
    for address in [0, 0x1000, 0x1010, 0x2fff, u64::MAX] {
        let _ = (symbols.name(address), symbols.netfilter(&[address, 0x3010, 0x4010]));
    }
}
