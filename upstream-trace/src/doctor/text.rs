//! The same for people.

use std::ops::Deref;

use super::{Findings, NginxFindings, System};
use crate::errorlog::LogOutput;
use crate::host::privileges::{Loss, Right};
use crate::kernel::probe::{Probed, Tried};
use upstream_trace_core::cause;
use upstream_trace_core::hooks::Need;
use upstream_trace_read::output::escape;
use upstream_trace_read::output::layout::{BOLD, CYAN, DIM, GREEN, RED, TextLayout, YELLOW, nbsp_commands};

/// Causes that are named of one hook; more of them are counted.
const NAMED: usize = 6;

#[derive(Clone, Copy)]
enum Mark {
    Ok,
    Lacks,
    Fails,
    Untried,
}

pub(super) fn page(layout: TextLayout, findings: &Findings) -> String {
    let page = DoctorText(layout);
    let mut to = String::new();
    let title =
        format!("upstream-trace {} on Linux {}", env!("CARGO_PKG_VERSION"), escape(&findings.system.kernel));
    page.wrap(&mut to, "", 2, &page.paint(BOLD, &title));
    page.kernel_state(&mut to, &findings.system);
    page.section(&mut to, "Rights");
    for (right, held) in &findings.rights {
        page.right(&mut to, right, *held);
    }
    page.hooks(&mut to, findings);
    page.maps(&mut to, findings);
    page.programs(&mut to, findings);
    page.section(&mut to, "nginx");
    match &findings.nginx {
        Some(nginx) => page.nginx(&mut to, nginx),
        None => page.state(&mut to, Mark::Fails, "not found", ""),
    }
    page.conclusion(&mut to, findings);
    to
}

/// The text of `doctor`, in the layout of all text.
#[derive(Clone, Copy)]
struct DoctorText(TextLayout);

impl Deref for DoctorText {
    type Target = TextLayout;

    fn deref(&self) -> &TextLayout {
        &self.0
    }
}

impl DoctorText {
    fn section(self, to: &mut String, name: &str) {
        to.push('\n');
        self.wrap(to, "", 2, &self.paint(CYAN, name));
    }

    /// A line with what became of something; `text` goes on behind its name.
    fn state(self, to: &mut String, mark: Mark, name: &str, text: &str) {
        let (style, word) = match mark {
            Mark::Ok => (GREEN, "ok"),
            Mark::Lacks => (YELLOW, "without"),
            Mark::Fails => (RED, "fails"),
            Mark::Untried => (DIM, "untried"),
        };
        let first = format!("  {}{} {name}", self.paint(style, word), " ".repeat(7 - word.len()));
        let first = if text.is_empty() { first } else { format!("{first}  ") };
        self.wrap(to, &first, 10, &nbsp_commands(text));
    }

    fn more(self, to: &mut String, text: &str) {
        self.wrap(to, "          ", 10, &nbsp_commands(text));
    }

    fn kernel_state(self, to: &mut String, system: &System) {
        self.section(to, "Kernel");
        match &system.fields {
            Some((all, missing)) if missing.is_empty() => {
                self.state(to, Mark::Ok, "BTF", &format!("all {all} fields that are read are there"));
            }
            Some((_, missing)) => {
                self.state(to, Mark::Lacks, "fields", &format!("not in this kernel: {}", missing.join(", ")));
            }
            None => self.state(to, Mark::Fails, "BTF", "CONFIG_DEBUG_INFO_BTF is needed"),
        }
        if system.symbols {
            self.state(to, Mark::Ok, "symbols", "netfilter's hooks are known by name");
        } else {
            self.state(to, Mark::Lacks, "symbols", "in which hook of netfilter a packet was dropped");
        }
        match system.lockdown.as_deref() {
            None | Some("none") => {}
            Some(mode) => {
                self.more(to, &format!("lockdown={}: kprobes and fentry may be refused", escape(mode)));
            }
        }
    }

    fn right(self, to: &mut String, right: &Right, held: bool) {
        let name = right.capability.to_string();
        match (held, right.loss) {
            (true, _) => self.state(to, Mark::Ok, &name, right.what),
            (false, Loss::Everything) => self.state(to, Mark::Fails, &name, &format!("to {}", right.what)),
            (false, Loss::Some(loss)) => self.state(to, Mark::Lacks, &name, loss),
        }
    }

    fn hooks(self, to: &mut String, findings: &Findings) {
        let there = findings.hooks.iter().filter(|probed| probed.is_there()).count();
        let how =
            if findings.tried { "work, each tried" } else { "seem to be there; they are tried as root only" };
        self.section(to, &format!("Hooks: {there} of {} {how}", findings.hooks.len()));
        for probed in &findings.hooks {
            self.hook(to, probed);
        }
    }

    fn hook(self, to: &mut String, probed: &Probed) {
        let hook = probed.hook;
        let mark = match (probed.chosen(), probed.is_there(), hook.need) {
            (Some(_), ..) => Mark::Ok,
            (None, true, _) => Mark::Untried,
            (None, false, Need::Required) => Mark::Fails,
            (None, false, _) => Mark::Lacks,
        };
        let methods: Vec<_> =
            probed.methods.iter().map(|(rung, tried)| self::rung(rung.kind(), tried)).collect();
        self.state(to, mark, hook.name, &methods.join("; "));
        if matches!(mark, Mark::Lacks | Mark::Fails) {
            self.more(to, &format!("lost: {}", hook.costs));
            let touched =
                cause::without(hook).map_or_else(|| "every cause".to_owned(), |causes| named(&causes));
            self.more(to, &format!("less sure: {touched}"));
        }
    }

    fn maps(self, to: &mut String, findings: &Findings) {
        let total: u64 = findings.maps.iter().map(|map| map.bytes).sum();
        let Some(largest) = findings.maps.first() else { return };
        self.section(to, &format!("Maps: {} of kernel memory", mib(total)));
        let text =
            format!("{} for {} entries; --max-connections changes it", mib(largest.bytes), largest.entries);
        self.state(to, Mark::Ok, &largest.name, &text);
    }

    fn programs(self, to: &mut String, findings: &Findings) {
        self.section(to, "Rules of the firewall");
        for (name, path) in &findings.programs {
            match path {
                Some(path) => self.state(to, Mark::Ok, name, path),
                None => self.state(to, Mark::Lacks, name, "its rules cannot be named"),
            }
        }
    }

    fn nginx(self, to: &mut String, nginx: &NginxFindings) {
        let version =
            nginx.version.as_ref().map_or_else(|| "version not known".to_owned(), |v| escape(v).into());
        let place = if nginx.elsewhere { ", in another network namespace" } else { "" };
        let pids = |pids: &[u32]| pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let name = format!("master {}", pids(&nginx.masters));
        self.state(to, Mark::Ok, &name, &format!("workers {}, {version}{place}", pids(&nginx.workers)));
        if !nginx.logs.is_empty() {
            self.state(to, Mark::Ok, "error.log", &escape(&nginx.logs.join(", ")));
        }
        for said in &nginx.said {
            if let LogOutput::Note(note) = said {
                self.state(to, Mark::Lacks, "error.log", &escape(note));
            }
        }
    }

    fn conclusion(self, to: &mut String, findings: &Findings) {
        to.push('\n');
        if findings.can_run() {
            self.wrap(to, &format!("{} ", self.paint(GREEN, "Ready:")), 2, "a trace can run.");
            return;
        }
        self.wrap(to, &format!("{} ", self.paint(RED, "Not ready:")), 2, "a trace cannot run yet.");
        for obstacle in &findings.obstacles {
            self.wrap(to, "  - ", 4, &nbsp_commands(&escape(&obstacle.what)));
            if let Some(next) = &obstacle.next {
                self.wrap(to, "    = help: ", 12, &nbsp_commands(next));
            }
        }
    }
}

fn rung(kind: &str, tried: &Tried) -> String {
    match tried {
        Tried::Works => kind.to_owned(),
        Tried::Fails(why) => format!("{kind}: {}", escape(why)),
        Tried::Untried(Some(false)) => format!("{kind}: not in this kernel"),
        Tried::Untried(Some(true)) => format!("{kind}: this kernel has it"),
        Tried::Untried(None) => format!("{kind}: not known"),
    }
}

fn named(causes: &[&str]) -> String {
    match causes.get(..NAMED) {
        Some(first) if causes.len() > NAMED => {
            format!("{} and {} more", first.join(", "), causes.len() - NAMED)
        }
        _ => causes.join(", "),
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
