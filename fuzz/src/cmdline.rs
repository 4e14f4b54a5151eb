//! Command lines, which every user of a host can write.

use upstream_trace::nginx::fuzz::process;

use crate::Target;

/// Takes what `/proc/PID/cmdline` holds.
pub(crate) const TARGET: Target = Target::of_bytes("cmdline", run);

fn run(bytes: &[u8]) {
    for program in ["nginx", "", "bash"] {
        let (_, described, config, _) = process(bytes, program);
        assert!(described.chars().count() <= 80 && !described.chars().any(char::is_control), "{described:?}");
        assert!(config.is_none_or(|path| !path.is_empty()), "a configuration without a name");
    }
}
