//! The path of a unix socket does not exist.

use super::{Cause, Finding, Signal, process};
use crate::case::Case;
use crate::errno::ENOENT;
use crate::event::UnixTarget;

pub(super) const CAUSE: Cause = Cause {
    id: "socket-missing",
    reason: Some(2),
    title: "the unix socket's path does not exist",
    means: "nginx connects to a unix socket, and there is nothing at that path: the service is not started, \
            listens somewhere else, or nginx sees another file system than the service.",
    told_apart: "connect() itself returns ENOENT, which has no other meaning here. A socket file whose service \
                 died is `socket-refused`; a file that nginx may not reach is `connect-denied`.",
    fix: "Start the service, or make `proxy_pass unix:` and the service's `listen` name the same path. If you \
          see the file but nginx does not, look for PrivateTmp= in the unit of one of them, or for a container.",
    rivals: &["socket-refused", "connect-denied"],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    (case.unix_connect_errno()? == ENOENT).then(|| {
        let path = case.path();
        let since = if case.unix_target() == Some(UnixTarget::Socket) {
            " (it was there a moment later)"
        } else {
            ""
        };
        Finding::proven(format!(
            "There is no socket at {path}{since}: the service is not started or listens elsewhere.{}",
            process::before(case)
        ))
        .fix(format!(
            "Start the service that should listen on {path}; `ss -xlp` shows where services listen."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{connect_error, expect, unix_error};
    use crate::verdict::Confidence;

    #[test]
    fn enoent_on_a_unix_socket_proves_it() {
        expect(&Case::of_connect_error(&unix_error(ENOENT)), "socket-missing", Confidence::Proven);
    }

    #[test]
    fn enoent_on_tcp_is_something_else() {
        expect(&Case::of_connect_error(&connect_error(ENOENT)), "unknown", Confidence::Possible);
    }
}
