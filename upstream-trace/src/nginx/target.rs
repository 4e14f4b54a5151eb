//! `--pid`, `--container`, `--pod`, `--unit`, `--all`: which nginx to watch.

use std::fmt;
use std::str::FromStr;

/// Which nginx to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process id, of a master or of one worker.
    Pid(u32),
    /// The name of the program that the master runs.
    Name(String),
    /// A container, by its name or the beginning of its id.
    Container(String),
    /// A pod, `NAMESPACE/NAME`.
    Pod(String),
    /// A unit of systemd, with or without `.service`.
    Unit(String),
    /// Every nginx on this host.
    All,
}

impl Target {
    /// More of what is meant may come while some of it runs.
    #[must_use]
    pub fn may_grow(&self) -> bool {
        matches!(self, Self::Pod(_) | Self::Unit(_) | Self::All)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "--pid {pid}"),
            Self::Name(name) => write!(f, "--pid {name}"),
            Self::Container(name) => write!(f, "--container {name}"),
            Self::Pod(name) => write!(f, "--pod {name}"),
            Self::Unit(name) => write!(f, "--unit {name}"),
            Self::All => f.write_str("--all"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("give a pid or a name such as nginx".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Name(text.to_owned()));
        }
        match text.parse() {
            Ok(pid @ 1..=0x7fff_ffff) => Ok(Self::Pid(pid)),
            _ => Err("no process has such an id".to_owned()),
        }
    }
}
