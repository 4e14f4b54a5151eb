//! The places where the tool watches the kernel, and what each lets it see: declarations only. Both the program that
//! attaches and whoever reads a recording ask them what a hook that is missing takes away.
//!
//! To add a hook, write its program and add its entry to the list in `list.rs`.

mod list;

pub use list::{HOOKS, Signal};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Raw tracepoint with this name.
    Raw(&'static str),
    /// Tracepoint `category`, `name`.
    Tracepoint(&'static str, &'static str),
    /// At the entry of this kernel function.
    Fentry(&'static str),
    /// At its return.
    Fexit(&'static str),
    /// At the entry of this kernel function, where fentry is refused.
    Kprobe(&'static str),
    /// At its return.
    Kretprobe(&'static str),
}

impl Attach {
    /// Name of this kind, as in the JSON output.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Raw(_) => "raw_tracepoint",
            Self::Tracepoint(..) => "tracepoint",
            Self::Fentry(_) | Self::Fexit(_) => "fentry",
            Self::Kprobe(_) | Self::Kretprobe(_) => "kprobe",
        }
    }

    /// The function or tracepoint.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Raw(name)
            | Self::Tracepoint(_, name)
            | Self::Fentry(name)
            | Self::Fexit(name)
            | Self::Kprobe(name)
            | Self::Kretprobe(name) => name,
        }
    }
}

/// When a program of a method is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the start; without it the method does not hold.
    Always,
    /// At the start, if the kernel has that place: functions come and go.
    IfThere,
    /// At the start, where a process may lose its processor in the middle of a tracepoint: handles what the other program at
    /// the same place does not get.
    Preempted,
    /// Where error.log does not tell of errors of `connect()`, or once nginx uses a unix upstream.
    OnConnect,
    /// Once nginx uses a unix upstream.
    OnUnix,
    /// While an error.log is read nowhere else.
    OnLog,
}

/// A program of the object, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Name of the program.
    pub program: &'static str,
    /// Where it is attached.
    pub attach: Attach,
    /// When it is attached.
    pub when: When,
}

/// One way to get the evidence of a hook: programs that belong together, all of one kind.
#[derive(Clone, Copy, Debug)]
pub struct AttachMethod {
    /// The programs, in the order in which they are attached.
    pub probes: &'static [Probe],
}

impl AttachMethod {
    /// Name of this kind, as in the JSON output and in `--hooks`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.probes[0].attach.kind()
    }
}

/// When a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it there is nothing to tell.
    Required,
    /// Without it something is missing.
    Wanted,
    /// It only makes another hook's evidence better; its absence is not worth a warning.
    Extra,
}

/// A hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name in the output.
    pub name: &'static str,
    /// First the cheapest.
    pub methods: &'static [AttachMethod],
    /// When it is attached.
    pub need: Need,
    /// What it lets us see; the causes say what they rest on.
    pub provides: &'static [Signal],
    /// What is lost without it, in words.
    pub costs: &'static str,
}

impl Hook {
    /// Names of the programs of all its methods.
    pub fn programs(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.methods.iter().flat_map(|method| method.probes).map(|probe| probe.program)
    }
}

impl Signal {
    /// What the hook of this name gives, in this release or an earlier one; nothing if it is not known.
    #[must_use]
    pub fn of_hook(name: &str) -> &'static [Self] {
        let now = HOOKS.iter().find(|hook| hook.name == name).map(|hook| hook.provides);
        let earlier = || EARLIER.iter().find(|(hook, _)| *hook == name).map(|(_, signals)| *signals);
        now.or_else(earlier).unwrap_or_default()
    }

    /// Every cause needs it: none has to declare it.
    #[must_use]
    pub const fn for_all(self) -> bool {
        matches!(self.concerns(), Concerns::All | Concerns::Nobody)
    }
}

/// Hooks of earlier releases: recordings name them.
const EARLIER: &[(&str, &[Signal])] =
    &[("sys_exit_connect", &[Signal::ConnectErrors, Signal::UnixConnections])];

/// Which attempts could have shown a signal: whether `unknown` names its hook as missing evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerns {
    /// All of them.
    All,
    /// None: it is about processes of nginx.
    Nobody,
    /// Those over TCP.
    Tcp,
    /// Those over TCP whose `connect()` did not fail at once.
    TcpBegun,
    /// Those over TCP that are connecting.
    TcpConnecting,
    /// Those to unix sockets.
    Unix,
    /// Those whose `connect()` failed at once, or of which only error.log tells.
    AtOnce,
    /// Those that are connected.
    Connected,
    /// Those that are not connecting; also if `connect()` failed at once.
    NotConnecting,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_of_this_release_and_of_earlier_ones_are_known() {
        assert_eq!(Signal::of_hook("kfree_skb"), [Signal::Drops]);
        assert_eq!(Signal::of_hook("sys_exit_connect"), [Signal::ConnectErrors, Signal::UnixConnections]);
        assert_eq!(Signal::of_hook("of-a-later-release"), []);
        let twice = |name| HOOKS.iter().filter(|hook| hook.name == name).count() != 1;
        assert!(!HOOKS.iter().any(|hook| twice(hook.name)));
        assert!(!EARLIER.iter().any(|(name, _)| HOOKS.iter().any(|hook| hook.name == *name)));
    }
}
