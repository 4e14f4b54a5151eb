//! Looks at kernel, rights, hooks and nginx.

use std::fs;

use upstream_trace_common::Offsets;
use upstream_trace_core::hooks::Need;

use super::{Findings, NginxFindings, Obstacle, System};
use crate::cli::{BUFFER, MAX_CONNECTIONS};
use crate::errorlog::ErrorLog;
use crate::errorlog::{LogOutput, Logs};
use crate::firewall;
use crate::host::{netns, privileges};
#[cfg(test)]
use crate::kernel::btf;
use crate::kernel::btf::Layout;
use crate::kernel::hook_filter::HookFilter;
use crate::kernel::load::{self, Kernel, Sizes, possible_processors};
use crate::kernel::probe::{self, Tried};
use crate::kernel::symbols::Symbols;
use crate::kernel::tracefs;
use crate::nginx::{self, Target, WatchedNginx};

const AS_ROOT: &str = "run `sudo upstream-trace doctor`, which also tries what is not tried here";

/// Looks at everything; nothing that is found missing ends it.
pub(super) fn look(targets: &[Target], choice: &HookFilter) -> Findings {
    let mut findings = Findings::default();
    let mut obstacle = |what: String, next: Option<&str>| {
        findings.obstacles.push(Obstacle { what, next: next.map(str::to_owned) });
    };
    if let Err(error) = privileges::check_namespaces() {
        obstacle(error.to_string(), None);
    }
    let lacking = privileges::lacking();
    if !lacking.is_empty() {
        obstacle(format!("this process does not have {}", privileges::names(&lacking)), Some(AS_ROOT));
    }
    tracefs::ensure();
    let mut layout = Layout::read().map_err(|error| obstacle(format!("{error:#}"), None)).ok();
    findings.system = system(layout.as_ref());
    // As a trace does.
    if let Some(layout) = &mut layout {
        layout.place_drops(Symbols::now);
    }
    findings.rights = privileges::RIGHTS.iter().map(|right| (right, right.held())).collect();
    match layout.filter(|_| lacking.is_empty()) {
        Some(layout) => try_hooks(&layout, choice, &mut findings),
        None => findings.hooks = probe::untried(),
    }
    findings.programs = firewall::programs();
    look_at_nginx(targets, &mut findings);
    findings
}

fn system(layout: Option<&Layout>) -> System {
    let missing = |layout: &Layout| {
        layout.missing.iter().map(|field| format!("{}.{}", field.structure, field.path)).collect()
    };
    System {
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        lockdown: lockdown(&fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default()),
        fields: layout.map(|layout| (Offsets::FIELDS.len(), missing(layout))),
        symbols: Symbols::now().is_known(),
    }
}

/// The mode in brackets: `none [integrity] confidentiality`.
fn lockdown(modes: &str) -> Option<String> {
    let (_, rest) = modes.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

fn try_hooks(layout: &Layout, choice: &HookFilter, findings: &mut Findings) {
    let processors = possible_processors();
    let sizes = Sizes { connections: MAX_CONNECTIONS, open: 0, buffer: BUFFER, processors };
    let mut kernel = match Kernel::load(load::loader(), layout, &sizes) {
        Ok(kernel) => kernel,
        Err(error) => {
            findings.hooks = probe::untried();
            findings.obstacles.push(Obstacle { what: format!("{error:#}"), next: None });
            return;
        }
    };
    findings.tried = true;
    findings.maps = kernel.map_sizes();
    findings.hooks = kernel.probe(layout, choice);
    for probed in &findings.hooks {
        if probed.hook.need != Need::Required || probed.chosen().is_some() {
            continue;
        }
        let why = probed.methods.iter().find_map(|(_, tried)| match tried {
            Tried::Fails(why) => Some(why.as_str()),
            _ => None,
        });
        let what = format!("cannot attach to {}: {}", probed.hook.name, why.unwrap_or("no reason given"));
        findings.obstacles.push(Obstacle { what, next: Some(refused(&findings.system).to_owned()) });
    }
}

/// What to do where a program is refused that every kernel should take.
fn refused(system: &System) -> &'static str {
    if system.lockdown.as_deref() == Some("confidentiality") {
        "lockdown=confidentiality lets no program read the kernel's memory: boot with lockdown=integrity, or none"
    } else {
        "please report it, with the output of `uname -a` and of RUST_LOG=debug"
    }
}

fn look_at_nginx(targets: &[Target], findings: &mut Findings) {
    let found = match WatchedNginx::look_for(targets) {
        Ok(found) => found,
        Err(error) => {
            findings.obstacles.push(Obstacle { what: error.to_string(), next: None });
            return;
        }
    };
    let all: Vec<u32> = found.all().collect();
    if let Err(error) = nginx::reach(&all) {
        findings.obstacles.push(Obstacle { what: error.to_string(), next: None });
    }
    let first = found.masters.iter().chain(found.workers.keys()).next().copied();
    let mut seen = NginxFindings {
        masters: found.masters.iter().copied().collect(),
        workers: found.worker_pids(),
        version: nginx::versions(first.into_iter()).pop(),
        elsewhere: first.and_then(netns::inode_of).is_some_and(|inode| Some(inode) != netns::own_inode()),
        ..NginxFindings::default()
    };
    // By the clock of events, which is of no matter here.
    if let Ok(mut logs) = Logs::open(&ErrorLog::Auto, &found.watched(), 1) {
        let mut say = |said: LogOutput| seen.said.push(said);
        logs.tick(&found.watched(), 1, &mut say);
        seen.logs = logs.names();
    }
    seen.said.retain(|said| matches!(said, LogOutput::Note(_)));
    findings.nginx = Some(seen);
}

/// BTF is where everything else begins.
#[cfg(test)]
pub(super) fn has_btf() -> bool {
    std::path::Path::new(btf::PATH).exists()
}

#[cfg(test)]
mod tests {
    use super::lockdown;

    #[test]
    fn lockdown_modes() {
        assert_eq!(lockdown("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(lockdown("[none] integrity confidentiality\n").as_deref(), Some("none"));
        assert_eq!(lockdown(""), None);
    }
}
