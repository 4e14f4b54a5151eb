//! Attaches the hooks: of each the first rung that this kernel, and the user, allow.

use std::any::Any;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail};
use aya::Btf;
use aya::programs::{Program, ProgramError};
use upstream_trace_core::event;
use upstream_trace_core::hooks::{Attach, AttachMethod, HOOKS, Hook, Need, Probe, When};

use super::btf::Layout;
use super::hook_filter::HookFilter;
use super::load::Kernel;
use super::refusal::{is_refused, plain};

/// The hooks on what nginx sends and receives, which come and go.
pub const IO: [&str; 2] = ["sock_send_length", "sock_recv_length"];

/// What keeps a program attached for as long as it lives.
pub(super) type Link = Box<dyn Any>;

/// What there is to know before a function can be watched; looked up once.
#[derive(Default)]
pub(super) struct Functions {
    btf: OnceLock<Result<Btf, String>>,
}

impl Functions {
    /// The kernel's types, as fentry needs them. Where the kernel has no function tracing at all it refuses late, and
    /// reading its BTF costs 15 ms.
    fn btf(&self) -> Result<&Btf> {
        const FUNCTIONS: &str = "/sys/kernel/tracing/available_filter_functions";
        let read = || {
            if !Path::new(FUNCTIONS).exists() {
                bail!("this kernel has no function tracing");
            }
            File::open(FUNCTIONS)?;
            Ok(Btf::from_sys_fs()?)
        };
        let btf = self.btf.get_or_init(|| read().map_err(|error| plain(&error)));
        btf.as_ref().map_err(|why| anyhow!("{why}"))
    }
}

impl Kernel {
    /// Attaches every hook that this kernel allows; an error if a required one is refused. Those on send and receive only
    /// with `io`.
    pub fn attach(&mut self, layout: &Layout, choice: &HookFilter, io: bool) -> Result<()> {
        self.load_ahead(layout, choice, io);
        for hook in HOOKS {
            let state = if io || !IO.contains(&hook.name) {
                self.attach_hook(hook, layout, choice)
            } else {
                absent(hook)
            };
            if hook.need == Need::Required && !state.attached {
                bail!("cannot attach to {}: {}", hook.name, state.why.unwrap_or_default());
            }
            self.hooks.push(state);
        }
        self.no_requests_without_answers();
        Ok(())
    }

    /// Attaches the hooks on send and receive, both or none. Whether they are attached then.
    pub fn attach_io(&mut self, layout: &Layout, choice: &HookFilter) -> bool {
        for hook in HOOKS.iter().filter(|hook| IO.contains(&hook.name)) {
            let state = self.attach_hook(hook, layout, choice);
            self.hooks.retain(|known| known.name != hook.name);
            self.hooks.push(state);
        }
        self.no_requests_without_answers();
        self.sees_io()
    }

    /// Detaches them; they stay loaded.
    pub fn detach_io(&mut self) {
        for hook in HOOKS.iter().filter(|hook| IO.contains(&hook.name)) {
            // A stand-in would take what is over for left out.
            for program in hook.programs().collect::<Vec<_>>().into_iter().rev() {
                self.links.retain(|(attached, _)| *attached != program);
            }
            if let Some(state) = self.hooks.iter_mut().find(|state| state.name == hook.name) {
                *state = absent(hook);
            }
        }
    }

    /// Whether they are attached.
    #[must_use]
    pub fn sees_io(&self) -> bool {
        IO.iter().all(|name| self.hooks.iter().any(|state| state.name == *name && state.attached))
    }

    /// Where answers cannot be seen, requests must not be: each would look as if nobody had answered it.
    fn no_requests_without_answers(&mut self) {
        let [requests, answers] = IO;
        let sees = |name: &str| self.hooks.iter().any(|state| state.name == name && state.attached);
        if sees(requests) && !sees(answers) {
            self.shed(&[requests], &format!("of no use without {answers}"));
        }
    }

    /// Attaches what was put off until now.
    pub fn attach_late(&mut self, when: When) {
        let due: Vec<_> = self.late.extract_if(.., |probe| probe.when == when).collect();
        for probe in due {
            if let Err(error) = self.attach_probe(probe) {
                log::warn!("{} is not seen: {}", probe.attach.place(), plain(&error));
            }
        }
    }

    /// Whether something was put off until then.
    #[must_use]
    pub fn puts_off(&self, when: When) -> bool {
        self.late.iter().any(|probe| probe.when == when)
    }

    /// Whether what was put off until then is attached by now, all of it.
    #[must_use]
    pub fn has_late(&self, when: When) -> bool {
        let probes = HOOKS.iter().flat_map(|hook| hook.methods).flat_map(|method| method.probes);
        let mut probes = probes.filter(|probe| probe.when == when).peekable();
        probes.peek().is_some()
            && probes.all(|probe| self.links.iter().any(|(program, _)| *program == probe.program))
    }

    /// Detaches again what [`Self::attach_late`] attached; it stays loaded.
    pub fn put_off(&mut self, when: When) {
        let probes = HOOKS.iter().flat_map(|hook| hook.methods).flat_map(|method| method.probes);
        for probe in probes.filter(|probe| probe.when == when) {
            let before = self.links.len();
            self.links.retain(|(program, _)| *program != probe.program);
            if self.links.len() < before {
                self.late.push(probe);
            }
        }
    }

    /// Takes these hooks away, and says why.
    pub fn shed(&mut self, hooks: &[&str], why: &str) {
        for hook in HOOKS.iter().filter(|hook| hooks.contains(&hook.name)) {
            for rung in hook.methods {
                self.release_rung(rung);
            }
            for state in self.hooks.iter_mut().filter(|state| state.name == hook.name) {
                (state.attached, state.why) = (false, Some(why.to_owned()));
                state.costs = Some(hook.costs.to_owned());
            }
        }
    }

    pub(super) fn attach_hook(&mut self, hook: &Hook, layout: &Layout, choice: &HookFilter) -> event::Hook {
        let mut state = event::Hook {
            name: hook.name.to_owned(),
            kind: hook.methods[0].kind().to_owned(),
            attached: false,
            why: unusable(hook, layout),
            costs: None,
        };
        for rung in hook.methods.iter().filter(|_| state.why.is_none()).collect::<Vec<_>>() {
            rung.kind().clone_into(&mut state.kind);
            match choice.allows(hook, rung).and_then(|()| self.attach_rung(rung)) {
                Ok(()) => {
                    state.attached = true;
                    state.why = None;
                    break;
                }
                Err(error) => {
                    log::debug!("{} by {}: {error:#}", hook.name, rung.kind());
                    state.why = Some(plain(&error));
                }
            }
        }
        if !state.attached && hook.need != Need::Extra {
            state.costs = Some(hook.costs.to_owned());
        }
        state
    }

    /// Attaches all programs of a rung, or none.
    pub(super) fn attach_rung(&mut self, rung: &'static AttachMethod) -> Result<()> {
        for probe in rung.probes {
            let attached = match probe.when {
                When::Preempted if !self.stands_in => Ok(()),
                When::Always | When::Preempted => self.attach_probe(probe),
                When::IfThere => {
                    // Without it a kernel has another way, which a probe of the same rung sees.
                    match self.attach_probe(probe) {
                        Err(error) if is_refused(&error) => {
                            log::warn!("{} is not seen: {}", probe.attach.place(), plain(&error));
                        }
                        Err(error) => log::debug!("{}: {error:#}", probe.attach.place()),
                        Ok(()) => {}
                    }
                    Ok(())
                }
                When::OnConnect | When::OnUnix | When::OnLog => {
                    self.late.push(probe);
                    Ok(())
                }
            };
            if let Err(error) = attached {
                self.release(rung.probes);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Loads the programs of a rung that [`Self::attach_rung`] puts off, so that the verifier sees them.
    pub(super) fn load_late(&mut self, rung: &AttachMethod) -> Result<()> {
        for probe in rung.probes.iter().filter(|probe| is_late(probe.when)) {
            let program = self.ebpf.program_mut(probe.program);
            let program = program.ok_or_else(|| anyhow!("the kernel side has no {}", probe.program))?;
            load(program, probe.attach, &self.functions)?;
        }
        Ok(())
    }

    /// Detaches all programs of a rung.
    pub(super) fn release_rung(&mut self, rung: &AttachMethod) {
        self.release(rung.probes);
    }

    fn release(&mut self, probes: &[Probe]) {
        for probe in probes.iter().rev() {
            self.late.retain(|waiting| waiting.program != probe.program);
            self.unload(probe);
        }
    }

    fn program(&mut self, name: &str) -> Result<&mut Program> {
        self.ebpf.program_mut(name).ok_or_else(|| anyhow!("the kernel side has no {name}"))
    }

    fn unload(&mut self, probe: &Probe) {
        self.links.retain(|(program, _)| *program != probe.program);
        if let Ok(program) = self.program(probe.program) {
            // Of a program that was not loaded there is nothing to undo.
            let _not_loaded = match program {
                Program::RawTracePoint(p) => p.unload(),
                Program::TracePoint(p) => p.unload(),
                Program::FEntry(p) => p.unload(),
                Program::FExit(p) => p.unload(),
                Program::KProbe(p) => p.unload(),
                _ => Ok(()),
            };
        }
    }

    fn attach_probe(&mut self, probe: &Probe) -> Result<()> {
        let program = self.ebpf.program_mut(probe.program);
        let program = program.ok_or_else(|| anyhow!("the kernel side has no {}", probe.program))?;
        load(program, probe.attach, &self.functions)?;
        let link: Link = match (probe.attach, program) {
            (Attach::Raw(name), Program::RawTracePoint(program)) => {
                let id = program.attach(name)?;
                Box::new(program.take_link(id)?)
            }
            (Attach::Tracepoint(category, name), Program::TracePoint(program)) => {
                let id = program.attach(category, name)?;
                Box::new(program.take_link(id)?)
            }
            (Attach::Fentry(_), Program::FEntry(program)) => {
                let id = program.attach()?;
                Box::new(program.take_link(id)?)
            }
            (Attach::Fexit(_), Program::FExit(program)) => {
                let id = program.attach()?;
                Box::new(program.take_link(id)?)
            }
            (Attach::Kprobe(function) | Attach::Kretprobe(function), Program::KProbe(program)) => {
                let id = program.attach(function, 0)?;
                Box::new(program.take_link(id)?)
            }
            _ => bail!("{} is of another kind", probe.program),
        };
        self.links.push((probe.program, link));
        Ok(())
    }
}

/// Whether it is attached later than the rest.
const fn is_late(when: When) -> bool {
    matches!(when, When::OnConnect | When::OnUnix | When::OnLog)
}

/// A hook on send or receive that is not attached for now.
fn absent(hook: &Hook) -> event::Hook {
    event::Hook {
        name: hook.name.to_owned(),
        kind: hook.methods[0].kind().to_owned(),
        attached: false,
        why: Some("see --depth".to_owned()),
        costs: None,
    }
}

/// Loads a program for this place, unless it is loaded already.
pub(super) fn load(program: &mut Program, attach: Attach, functions: &Functions) -> Result<()> {
    match (attach, program) {
        (Attach::Raw(_), Program::RawTracePoint(program)) => once(program.load())?,
        (Attach::Tracepoint(..), Program::TracePoint(program)) => once(program.load())?,
        (Attach::Fentry(function), Program::FEntry(program)) => {
            once(program.load(function, functions.btf()?))?;
        }
        (Attach::Fexit(function), Program::FExit(program)) => {
            once(program.load(function, functions.btf()?))?;
        }
        (Attach::Kprobe(_) | Attach::Kretprobe(_), Program::KProbe(program)) => {
            if !Path::new("/sys/bus/event_source/devices/kprobe").exists() {
                bail!("this kernel has no kprobes");
            }
            once(program.load())?;
        }
        _ => bail!("the program for {} is of another kind", attach.place()),
    }
    Ok(())
}

/// A program is loaded once, wherever it is attached.
fn once(loaded: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        other => other,
    }
}

/// Why this hook says nothing although it can be attached.
pub(super) fn unusable(hook: &Hook, layout: &Layout) -> Option<String> {
    let silent = hook.name == "kfree_skb" && layout.drop_reasons.is_empty();
    silent.then(|| {
        "this kernel gives no reason for a drop (it came with 5.17) and hides its symbols (kptr_restrict)"
            .to_owned()
    })
}
