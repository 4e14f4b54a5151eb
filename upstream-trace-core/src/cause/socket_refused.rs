//! A unix socket file exists and nobody listens.

use super::{Cause, Finding, Signal, process};
use crate::case::Case;
use crate::errno::ECONNREFUSED;
use crate::event::UnixTarget;

pub(super) const CAUSE: Cause = Cause {
    id: "socket-refused",
    reason: Some(2),
    title: "the unix socket exists, nobody listens on it",
    means: "The socket file is there, but no process listens on it: the service died without removing the file, \
            or it has bound the socket and not yet called listen().",
    told_apart: "connect() itself returns ECONNREFUSED on a socket file. A full accept queue gives EAGAIN \
                 (`accept-queue-full`), a missing file ENOENT (`socket-missing`); a file that is no socket \
                 gives ECONNREFUSED too and is `misconfigured`.",
    fix: "Restart the service, and look in its log (`journalctl -u SERVICE`) for why it stopped.",
    rivals: &["accept-queue-full", "socket-missing", "misconfigured"],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.unix_connect_errno()? != ECONNREFUSED || case.unix_target() == Some(UnixTarget::NotASocket) {
        return None;
    }
    let path = case.path();
    let finding = Finding::proven(format!(
        "{path} exists, but no process listens on it: the service is down.{}",
        process::before(case)
    ));
    Some(finding.fix(format!(
        "Restart the service that listens on {path}; `ss -xlp src {}` then shows its process.",
        case.path_word()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fact;
    use crate::testkit::{enrichment, expect, unix_error};
    use crate::verdict::Confidence;

    #[test]
    fn refusal_by_a_socket_file_proves_it() {
        expect(&Case::of_connect_error(&unix_error(ECONNREFUSED)), "socket-refused", Confidence::Proven);
    }

    #[test]
    fn a_path_that_is_no_socket_is_a_wrong_configuration() {
        let error = unix_error(ECONNREFUSED);
        let found = enrichment(vec![Fact::UnixPath { target: UnixTarget::NotASocket }]);
        let mut case = Case::of_connect_error(&error);
        case.enrichment = Some(&found);
        expect(&case, "misconfigured", Confidence::Proven);
    }
}
