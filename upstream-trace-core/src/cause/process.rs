//! The process of an origin on this host, and how it ended, in sentences and commands.

use crate::case::Case;
use crate::event::{MS, SECOND};
use crate::event::{NamedContainer, Nanos, OriginExit, Runtime, Workload};
use crate::text::sentence;
use crate::text::shell;

/// `gunicorn[1234] (python3 app.py, in app.service)`.
pub(super) fn who(exit: &OriginExit) -> String {
    let home = exit.home.as_ref().map(|home| format!("in {home}"));
    let known: Vec<_> = exit.command.iter().cloned().chain(home).collect();
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    sentence(&format!("{}[{}]{known}", exit.name, exit.pid)).into_owned()
}

/// `was ended by signal 9 (SIGKILL, ...)`.
pub(super) fn how(exit: &OriginExit) -> String {
    match (exit.signal, exit.status) {
        (Some(_), _) if exit.out_of_memory == Some(true) => "was killed by the OOM killer".to_owned(),
        (Some(9), _) if exit.out_of_memory.is_none() => {
            "was killed by signal 9 (SIGKILL, from the OOM killer, a supervisor or an admin)".to_owned()
        }
        (Some(signal), _) => format!("was killed by {}", named(signal)),
        (None, Some(status)) => format!("exited with status {status}{}", meaning(status)),
        (None, None) => "exited".to_owned(),
    }
}

/// What there is to look at.
pub(super) fn look(exit: &OriginExit) -> String {
    match &exit.home {
        Some(Workload::Unit(unit)) => format!("`journalctl -u {}`", shell::word(unit, "UNIT")),
        Some(Workload::Docker(name)) => {
            let name = shell::word(name, "CONTAINER");
            format!("`docker logs {name}` and `docker inspect {name}`")
        }
        Some(Workload::Podman(name)) => {
            let name = shell::word(name, "CONTAINER");
            format!("`podman logs {name}` and `podman inspect {name}`")
        }
        Some(Workload::Kubernetes(name)) => {
            format!("`crictl logs {}` and the pod's events", shell::word(name, "CONTAINER"))
        }
        Some(Workload::Container(container)) => look_at(container),
        _ => format!("`journalctl _PID={}` and the application's own log", exit.pid),
    }
}

fn look_at(container: &NamedContainer) -> String {
    let id = shell::word(&container.id, "CONTAINER");
    if let (Some(namespace), Some(pod)) = (&container.namespace, &container.pod) {
        let (namespace, pod) = (shell::word(namespace, "NAMESPACE"), shell::word(pod, "POD"));
        let container = container.name.as_deref().unwrap_or_default();
        let container = shell::word(container, "CONTAINER");
        return format!(
            "`kubectl -n {namespace} logs {pod} -c {container} --previous` and \
             `kubectl -n {namespace} describe pod {pod}`"
        );
    }
    let name = shell::word(container.name.as_deref().unwrap_or(&container.id), "CONTAINER");
    let tool = match container.runtime {
        Runtime::Docker => "docker",
        Runtime::Podman => "podman",
        Runtime::Containerd | Runtime::CriO => return format!("`crictl logs {id}`"),
    };
    format!("`{tool} logs {name}` and `{tool} inspect {name}`")
}

/// Who served the upstream before nobody did, to follow a sentence; empty if not known.
pub(super) fn before(case: &Case<'_>) -> String {
    let Some(exit) = case.gone.filter(|_| case.listener().is_none()) else { return String::new() };
    let ago = span(case.since().saturating_sub(exit.at));
    format!(" {} served it until {ago} before and {}.", who(exit), how(exit))
}

/// `80 ms`, `12.3 s`, `5 min`.
fn span(time: Nanos) -> String {
    match time {
        ..SECOND => format!("{} ms", time / MS),
        time if time < 120 * SECOND => format!("{}.{} s", time / SECOND, time % SECOND / (100 * MS)),
        time => format!("{} min", time / (60 * SECOND)),
    }
}

/// A signal for a sentence.
fn named(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP, its terminal or supervisor exited",
        2 => "SIGINT, interrupted",
        3 => "SIGQUIT, told to quit",
        4 => "SIGILL, an illegal instruction",
        5 => "SIGTRAP, a trap in its runtime",
        6 => "SIGABRT, it aborted",
        7 => "SIGBUS, a bad memory access or a file that shrank",
        8 => "SIGFPE, an arithmetic error",
        9 => "SIGKILL, from a supervisor or an admin",
        11 => "SIGSEGV, a bad memory access",
        13 => "SIGPIPE, it wrote to a closed pipe or socket",
        14 => "SIGALRM, its own timer",
        15 => "SIGTERM, stopped or restarted",
        24 => "SIGXCPU, its CPU time limit",
        25 => "SIGXFSZ, its file size limit",
        31 => "SIGSYS, a system call forbidden by seccomp",
        other => return format!("signal {other}"),
    };
    format!("signal {signal} ({name})")
}

/// What an exit status usually means.
fn meaning(status: i32) -> &'static str {
    match status {
        130 => " (as after SIGINT)",
        134 => " (as after SIGABRT)",
        137 => " (as after SIGKILL)",
        139 => " (as after SIGSEGV)",
        143 => " (as after SIGTERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{origin_killed, refused};

    #[test]
    fn signals_are_told_in_words() {
        for (signal, word) in [(9, "SIGKILL"), (11, "memory"), (15, "stopped"), (63, "signal 63")] {
            assert!(named(signal).contains(word), "{signal}");
        }
        assert_eq!(meaning(143), " (as after SIGTERM)");
        let oom = OriginExit { out_of_memory: Some(true), ..origin_killed(1) };
        assert!(how(&oom).contains("OOM") && !how(&origin_killed(1)).contains("OOM"));
        let untold = OriginExit { out_of_memory: None, ..origin_killed(1) };
        assert!(how(&untold).contains("the OOM killer, a supervisor"));
    }

    #[test]
    fn who_and_where_to_look() {
        let mut exit = origin_killed(1);
        assert_eq!(who(&exit), "app[4711] (python3 app.py, in app.service)");
        assert_eq!(look(&exit), "`journalctl -u app.service`");
        exit.home = Some(Workload::Unit("$(reboot).service".to_owned()));
        assert_eq!(look(&exit), "`journalctl -u '$(reboot).service'`");
        exit.home = Some(Workload::Docker("0123456789ab".to_owned()));
        assert!(look(&exit).starts_with("`docker logs 0123456789ab`"));
        (exit.home, exit.command) = (None, None);
        assert_eq!(who(&exit), "app[4711]");
        assert!(look(&exit).contains("journalctl _PID=4711"));
    }

    #[test]
    fn who_served_before() {
        let (attempt, exit) = (refused(), origin_killed(0));
        let mut case = Case::of_attempt(&attempt);
        assert_eq!(before(&case), "");
        case.gone = Some(&exit);
        assert!(
            before(&case)
                .starts_with(" app[4711] (python3 app.py, in app.service) served it until 0 ms before")
        );
        assert_eq!(
            (span(2 * SECOND + 340 * MS), span(600 * SECOND)),
            ("2.3 s".to_owned(), "10 min".to_owned())
        );
    }
}
