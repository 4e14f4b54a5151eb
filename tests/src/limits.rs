//! What a kernel cannot show, and what is expected there instead: a lower confidence, or `unknown`. Each limit says why,
//! asks the kernel itself (not the tool) whether it holds, and names the scenarios that it touches.

use std::fs;

use crate::pace::slow;

/// A limit of some kernels.
#[derive(Debug)]
pub struct Limit {
    /// Why, for the table.
    pub why: &'static str,
    /// Whether it holds here.
    holds: fn() -> bool,
    /// Beginnings of the names of the scenarios that it touches.
    scenarios: &'static [&'static str],
    /// Causes that may be told in place of the one asked for; never more than `likely`.
    pub instead: &'static [&'static str],
    /// Nothing at all may be told of it.
    pub unseen: bool,
}

/// All of them; of several that touch a scenario the first counts.
const LIMITS: &[Limit] = &[
    Limit {
        why: "Before 5.15 a program cannot ask where the buffer of a system call is: what an answer says is not read, \
              and an error status that the origin itself answers is not seen.",
        holds: || is_older_than(5, 15),
        scenarios: &["upstream-error-status"],
        instead: &[],
        unseen: true,
    },
    Limit {
        why: "In an emulated machine the ruleset may take longer to read than the tool waits for it: the verdict then \
              does not name the rule.",
        holds: is_emulated,
        scenarios: &["firewall-drop-local", "firewall-reject-local", "firewall-rule"],
        instead: &[],
        unseen: false,
    },
    Limit {
        why: "Before 6.10 the kernel does not tell of resets in answer to packets that no socket wants, such as a \
              SYN-ACK that comes too late.",
        holds: resets_without_socket_are_silent,
        scenarios: &["connect-slow/slow-path"],
        instead: &["firewall-drop-remote"],
        unseen: false,
    },
];

/// The limit of this kernel that touches a scenario.
#[must_use]
pub fn of(scenario: &str) -> Option<&'static Limit> {
    let touches = |limit: &&Limit| limit.scenarios.iter().any(|name| scenario.starts_with(name));
    LIMITS.iter().filter(touches).find(|limit| (limit.holds)())
}

/// Everything takes longer than on a real machine.
fn is_emulated() -> bool {
    slow() > 1
}

/// `tcp_send_reset` came to tell of all resets with the same series that gave it a reason.
fn resets_without_socket_are_silent() -> bool {
    let format = "/sys/kernel/tracing/events/tcp/tcp_send_reset/format";
    fs::read_to_string(format).is_ok_and(|format| !format.contains("reason"))
}

/// By its version; where the kernel says none, nothing is excused.
fn is_older_than(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version(&release).is_some_and(|version| version < (major, minor))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions() {
        assert_eq!(version("5.10.0-32-cloud-amd64"), Some((5, 10)));
        assert_eq!(version("7.2-rc1"), Some((7, 2)));
        assert_eq!(version("unknown"), None);
        assert!(version("6.1.0") > version("5.15.3"));
    }
}
