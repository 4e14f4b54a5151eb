//! Which nginx is meant.

use clap::Args;

use crate::nginx::Target;

/// Which nginx is meant; without any of these, the only one of this host.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct Which {
    /// nginx to watch: pid of a master or a worker, or a process name [default: nginx]; --pid,
    /// --container, --pod and --unit may be repeated
    #[arg(long, value_name = "PID|NAME")]
    pub pid: Vec<Target>,

    /// nginx in this container of docker, podman, containerd or CRI-O
    #[arg(long, value_name = "NAME|ID", value_parser = named)]
    pub container: Vec<String>,

    /// nginx in this pod
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = named)]
    pub pod: Vec<String>,

    /// nginx in this unit of systemd
    #[arg(long, value_name = "NAME", value_parser = named)]
    pub unit: Vec<String>,

    /// Every nginx on this host
    #[arg(long, conflicts_with_all = ["pid", "container", "pod", "unit"])]
    pub all: bool,
}

impl Which {
    /// All that is meant.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let Self { pid, container, pod, unit, all } = self;
        let mut targets = pid.clone();
        targets.extend(container.iter().cloned().map(Target::Container));
        targets.extend(pod.iter().cloned().map(Target::Pod));
        targets.extend(unit.iter().cloned().map(Target::Unit));
        targets.extend(all.then_some(Target::All));
        if targets.is_empty() {
            targets.push(Target::Name("nginx".to_owned()));
        }
        targets
    }
}

fn named(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("give a name".to_owned()) } else { Ok(text.to_owned()) }
}
