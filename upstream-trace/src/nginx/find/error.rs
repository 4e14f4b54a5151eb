//! Why there is nothing to watch, and what to do about it.

use std::fmt;

use upstream_trace_core::event::Workload;

use crate::nginx::Target;

/// Processes that one message lists.
const MAX_LISTED: usize = 16;

/// Why there is nothing to watch, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// No process of that name.
    NoSuchName {
        /// What was asked for.
        name: String,
        /// Processes that are an nginx under another name: pid and title.
        like: Vec<(u32, String)>,
    },
    /// Processes of that name, none of which is chosen by its name alone.
    NoneChosen {
        /// What was asked for.
        name: String,
        /// Those processes.
        left_out: Vec<LeftOut>,
    },
    /// No nginx runs where it was asked for.
    NoneThere {
        /// What was asked for.
        target: Target,
        /// The masters that do run.
        masters: Vec<Master>,
    },
    /// No such process.
    NoSuchPid(u32),
    /// Several masters of that name.
    Several(Vec<Master>),
    /// Another program.
    NotNginx {
        /// The process.
        pid: u32,
        /// What it is.
        what: String,
    },
    /// A process of nginx that makes no upstream connections.
    Helper {
        /// The process.
        pid: u32,
        /// Its title.
        what: String,
        /// Its master.
        master: u32,
    },
}

/// A master among several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Its pid.
    pub pid: u32,
    /// Seconds that it has been running.
    pub age_s: u64,
    /// The user who started it.
    pub uid: Option<u32>,
    /// Its unit or container.
    pub workload: Option<Workload>,
    /// Its configuration file, if given with `-c`.
    pub config: Option<String>,
}

/// A process that has the name, and is not watched because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its pid.
    pub pid: u32,
    /// Why not.
    pub why: WhyLeftOut,
}

/// Why a process is not watched because of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyLeftOut {
    /// It calls itself nginx and runs this other program; empty if that may not be looked at.
    Runs(String),
    /// It is an nginx that this user started: neither root nor the one who runs this tool.
    Uid(Option<u32>),
    /// It is a worker that no chosen master has started.
    Orphan,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            WhyLeftOut::Runs(program) if program.is_empty() => {
                write!(f, "{} (its program cannot be looked at)", self.pid)
            }
            WhyLeftOut::Runs(program) => write!(f, "{} (runs {program})", self.pid),
            WhyLeftOut::Uid(Some(uid)) => write!(f, "{} (started by user {uid})", self.pid),
            WhyLeftOut::Uid(None) => write!(f, "{} (started by an unknown user)", self.pid),
            WhyLeftOut::Orphan => write!(f, "{} (a worker without a master)", self.pid),
        }
    }
}

/// Some of them, for a sentence.
pub(in crate::nginx) fn list<T: fmt::Display>(all: &[T]) -> String {
    let shown: Vec<_> = all.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    match all.len().saturating_sub(MAX_LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Masters, each with the option that chooses it.
fn choices(masters: &[Master]) -> String {
    list(&masters.iter().map(|one| format!("{} {one}", one.selector(masters))).collect::<Vec<_>>())
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName { name, like } if like.is_empty() => {
                write!(
                    f,
                    "no process named '{name}': is nginx running? If it has another name or pid, pass that with --pid"
                )
            }
            Self::NoSuchName { name, like } => {
                let like: Vec<_> = like.iter().map(|(pid, title)| format!("{pid} ({title})")).collect();
                write!(
                    f,
                    "no process named '{name}'; these are an nginx, pass one with --pid: {}",
                    list(&like)
                )
            }
            Self::NoneChosen { name, left_out } => {
                write!(
                    f,
                    "no nginx is chosen by the name '{name}': {}; if one of them is meant, pass its pid, such as \
                     --pid {}",
                    list(left_out),
                    left_out.first().map_or(0, |first| first.pid)
                )
            }
            Self::NoneThere { target, masters } => {
                match target {
                    Target::Container(name) => write!(f, "no nginx runs in container '{name}'")?,
                    Target::Pod(name) => write!(f, "no nginx runs in pod '{name}'")?,
                    Target::Unit(name) => write!(f, "no nginx runs in unit '{name}'")?,
                    _ => f.write_str("no nginx runs on this host")?,
                }
                if masters.is_empty() { Ok(()) } else { write!(f, "; these do run: {}", choices(masters)) }
            }
            Self::NoSuchPid(pid) => {
                write!(f, "no process {pid}: pass the pid of a running nginx, or --pid nginx")
            }
            Self::Several(masters) => {
                write!(
                    f,
                    "{} nginx masters are running; watch all of them with --all, or choose one: {}",
                    masters.len(),
                    choices(masters)
                )
            }
            Self::NotNginx { pid, what } => {
                write!(
                    f,
                    "process {pid} is not an nginx but '{what}': pass the pid of nginx's master, or --pid nginx"
                )
            }
            Self::Helper { pid, what, master } => {
                write!(
                    f,
                    "process {pid} ('{what}') makes no upstream connections: pass its master, --pid {master}"
                )
            }
        }
    }
}

impl std::error::Error for FindError {}

impl Master {
    /// What chooses this one among several.
    fn selector(&self, among: &[Self]) -> String {
        let alone = |target: fn(&Self) -> Option<Target>| {
            let mine = target(self)?;
            (among.iter().filter(|other| target(other).as_ref() == Some(&mine)).count() == 1).then_some(mine)
        };
        let found = alone(Self::target).or_else(|| alone(Self::container));
        found.map_or_else(|| format!("--pid {}", self.pid), |target| target.to_string())
    }

    /// Its container by id: two may have the same name, one of docker's and one of podman's.
    fn container(&self) -> Option<Target> {
        match self.workload.as_ref()? {
            Workload::Container(container) => Some(Target::Container(container.id.clone())),
            _ => None,
        }
    }

    fn target(&self) -> Option<Target> {
        match self.workload.as_ref()? {
            Workload::Unit(name) => {
                Some(Target::Unit(name.strip_suffix(".service").unwrap_or(name).to_owned()))
            }
            Workload::Container(container) => match (&container.namespace, &container.pod) {
                (Some(namespace), Some(pod)) => Some(Target::Pod(format!("{namespace}/{pod}"))),
                _ => Some(Target::Container(container.name.clone().unwrap_or_else(|| container.id.clone()))),
            },
            _ => None,
        }
    }
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.age_s / 3600, self.age_s / 60 % 60, self.age_s % 60);
        write!(f, "(master {}, up ", self.pid)?;
        match (hours, minutes) {
            (0, 0) => write!(f, "{seconds} s")?,
            (0, _) => write!(f, "{minutes} min")?,
            (1..48, _) => write!(f, "{hours} h {minutes} min")?,
            _ => write!(f, "{} days", hours / 24)?,
        }
        match self.uid {
            Some(0) => f.write_str(", root")?,
            Some(uid) => write!(f, ", user {uid}")?,
            None => {}
        }
        self.workload.as_ref().map_or(Ok(()), |workload| write!(f, ", {workload}"))?;
        self.config.as_ref().map_or(Ok(()), |config| write!(f, ", -c {config}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use upstream_trace_core::event::{NamedContainer, Runtime};

    use super::*;

    #[test]
    fn ages_are_readable() {
        let age = |age_s| Master { pid: 7, age_s, uid: None, workload: None, config: None }.to_string();
        assert_eq!(age(59), "(master 7, up 59 s)");
        assert_eq!(age(3599), "(master 7, up 59 min)");
        assert_eq!(age(3600), "(master 7, up 1 h 0 min)");
        assert_eq!(age(48 * 3600), "(master 7, up 2 days)");
    }

    #[test]
    fn containers_of_the_same_name_are_chosen_by_id() {
        let of = |pid, runtime, id: &str| {
            let container = NamedContainer {
                runtime,
                id: id.to_owned(),
                name: Some("web".to_owned()),
                image: None,
                namespace: None,
                pod: None,
            };
            let workload = Some(Workload::Container(Box::new(container)));
            Master { pid, age_s: 1, uid: None, workload, config: None }
        };
        let mut all = vec![of(7, Runtime::Docker, "aaaa"), of(8, Runtime::Podman, "bbbb")];
        let choices = |all: &[Master]| all.iter().map(|one| one.selector(all)).collect::<Vec<_>>();
        assert_eq!(choices(&all), ["--container aaaa", "--container bbbb"]);
        assert_eq!(choices(&all[..1]), ["--container web"]);
        // Two in one container.
        all[1] = Master { pid: 8, ..all[0].clone() };
        assert_eq!(choices(&all), ["--pid 7", "--pid 8"]);
    }

    #[test]
    fn lists_have_an_end() {
        assert_eq!(list(&[1, 2]), "1, 2");
        assert_eq!(
            list(&(0..20).collect::<Vec<_>>()),
            "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 and 4 more"
        );
    }
}
