//! The tool as another user with capabilities, and what it keeps of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::tool::Tool;
use crate::util::kernel_is_from;

/// `nobody` of most distributions; no file here is its own.
const NOBODY: &str = "65534";

/// Everything that the tool has a use for.
pub const USEFUL: [&str; 8] =
    ["bpf", "perfmon", "sys_ptrace", "dac_read_search", "sys_admin", "net_admin", "net_raw", "syslog"];

/// Starts a program as nobody, with these capabilities and no others. Before 5.11 maps count as locked memory, of which
/// another user may have too little: there the program may lock as much as it wants.
pub fn start(program: &Path, capabilities: &[&str], args: &[String]) -> Result<Tool> {
    let locked = (!kernel_is_from((5, 11))).then_some("unlimited");
    start_with_memory(locked, program, capabilities, args)
}

/// The same with a limit of locked memory, as `prlimit` takes it; with that of this process if none is given.
pub fn start_with_memory(
    locked: Option<&str>,
    program: &Path,
    capabilities: &[&str],
    args: &[String],
) -> Result<Tool> {
    let set = capabilities.iter().fold("-all".to_owned(), |set, name| set + ",+" + name);
    let limit = locked.map(|locked| format!("--memlock={locked}"));
    let mut all: Vec<String> = limit.into_iter().chain(["setpriv".to_owned()]).collect();
    all.extend([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
    all.extend(["inh-caps", "ambient-caps", "bounding-set"].map(|which| format!("--{which}={set}")));
    all.push(program.display().to_string());
    all.extend_from_slice(args);
    Tool::start(Path::new("prlimit"), &all)
}

/// A line of `/proc/PID/status` of each thread, such as `CapEff` or `NoNewPrivs`.
pub fn of_threads(pid: u32, field: &str) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        values.push(line.with_context(|| format!("no {field}"))?.trim().to_owned());
    }
    Ok(values)
}
