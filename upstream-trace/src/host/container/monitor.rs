//! The process of the runtime that watches over a container.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use super::{ids, is_id};
use crate::host::{CommandLine, executable, stat};

/// Generations that are looked at: a container may have an init, a supervisor and a shell above nginx.
const GENERATIONS: usize = 32;

/// Bytes of `/proc/PID/cgroup` that are looked at.
const MAX_CGROUP: u64 = 8_192;

/// What kind of process it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `conmon`, of podman and CRI-O, with its arguments: one for each container.
    Conmon(Vec<String>),
    /// `containerd-shim`: one for each container or pod.
    Shim,
}

/// A process of a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Monitor {
    pub(super) pid: u32,
    pub(super) kind: Kind,
    /// The id that it was started with: of the container, or of the pod's sandbox.
    id: Option<String>,
}

impl Monitor {
    /// The nearest one above a process. A runtime gives each container a mount namespace: what has the same one as the
    /// process runs in the container itself, whatever it is called.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let mounts = mounts(pid)?;
        let mut above = stat(pid)?.parent;
        for _ in 0..GENERATIONS {
            if above <= 1 {
                return None;
            }
            if let Some(monitor) = Self::read(above)
                && self::mounts(above).is_some_and(|outside| outside != mounts)
            {
                return Some(monitor);
            }
            above = stat(above)?.parent;
        }
        None
    }

    fn read(pid: u32) -> Option<Self> {
        let program = executable(pid)?;
        let name = program.name();
        if name != "conmon" && !name.starts_with("containerd-shim") {
            return None;
        }
        let arguments = CommandLine::read(pid)?.arguments().to_vec();
        let id = option(&arguments, if name == "conmon" { "-c" } else { "-id" });
        let id = id.filter(|id| is_id(id)).map(str::to_owned);
        let kind = if name == "conmon" { Kind::Conmon(arguments) } else { Kind::Shim };
        Some(Self { pid, kind, id })
    }

    /// The id of the container that a process below it runs in: of a pod the shim has another.
    pub(super) fn container_id(&self, pid: u32) -> Option<String> {
        if matches!(self.kind, Kind::Conmon(_)) && self.id.is_some() {
            return self.id.clone();
        }
        let found = cgroups(pid)?;
        let around = cgroups(self.pid).unwrap_or_default();
        own_id(&found, &around).map(str::to_owned).or_else(|| self.id.clone())
    }
}

fn cgroups(pid: u32) -> Option<String> {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/cgroup")).ok()?.take(MAX_CGROUP).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The outermost id in the control groups of a process that is not one `around` its monitor, which may run in a container
/// too. Whoever is root in a container may be able to make groups in its own, with the ids of others.
fn own_id<'a>(cgroups: &'a str, around: &str) -> Option<&'a str> {
    let all = |line: &'a str| line.splitn(3, ':').nth(2).into_iter().flat_map(ids);
    let outer: Vec<&str> =
        around.lines().filter_map(|line| line.splitn(3, ':').nth(2)).flat_map(ids).collect();
    cgroups.lines().find_map(|line| all(line).find(|id| !outer.contains(id)))
}

/// The mount namespace of a process.
fn mounts(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// The value of an option, `-x VALUE`.
pub(super) fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut values = arguments.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].as_str());
    values.next()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::host::children;

    struct Running(Child, PathBuf);

    impl Running {
        /// A program called `conmon` that runs this command.
        fn conmon(command: &str, name: &str) -> Self {
            let folder = env::temp_dir().join(format!("monitor-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let program = folder.join("conmon");
            fs::copy("/bin/sh", &program).unwrap();
            let script = format!("{command} sleep 60; :");
            let mut command = Command::new(&program);
            command.arg("-c").arg(script).stdin(Stdio::null()).process_group(0);
            Self(command.spawn().unwrap(), folder)
        }

        fn child(&self) -> u32 {
            let sleeps = |pid: &u32| executable(*pid).is_some_and(|program| program.name().contains("sleep"));
            loop {
                if let Some(pid) = children(self.0.id()).into_iter().find(sleeps) {
                    return pid;
                }
                std::thread::yield_now();
            }
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            for pid in children(self.0.id()).into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
                let _gone =
                    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
            }
            let _gone = self.0.kill();
            let _gone = self.0.wait();
            let _gone = fs::remove_dir_all(&self.1);
        }
    }

    #[test]
    fn groups_that_a_container_makes_name_no_other_one() {
        let [own, other, node] = ["a", "b", "c"].map(|digit| digit.repeat(64));
        let pod = format!("0::/kubepods/burstable/podx/{own}");
        assert_eq!(own_id(&pod, "0::/system.slice/containerd.service"), Some(&*own));
        assert_eq!(own_id(&format!("{pod}/{other}"), "0::/system.slice/containerd.service"), Some(&*own));
        let inner = format!("0::/docker/{node}/kubelet/kubepods/podx/{own}/{other}");
        assert_eq!(
            own_id(&inner, &format!("0::/docker/{node}/system.slice/containerd.service")),
            Some(&*own)
        );
        assert_eq!(own_id("0::/user.slice", ""), None);
    }

    #[test]
    fn what_runs_in_the_container_is_not_its_runtime() {
        let fake = Running::conmon("", "fake");
        assert_eq!(Monitor::of(fake.child()), None);
        if nix::unistd::geteuid().is_root() {
            let outside = Running::conmon("unshare --mount", "outside");
            let monitor = Monitor::of(outside.child()).unwrap();
            assert_eq!(monitor.pid, outside.0.id());
        }
    }
}
