//! nginx was told something that cannot work.

use super::{Cause, Finding, Signal};
use crate::case::Case;
use crate::errno::{ECONNREFUSED, EPROTOTYPE};
use crate::errorlog::Kind;
use crate::event::UnixTarget;

pub(super) const CAUSE: Cause = Cause {
    id: "misconfigured",
    reason: Some(0),
    title: "nginx is configured with something that cannot work",
    means: "The configured upstream can never answer: the path is a datagram socket or no socket at all, a \
            variable in `proxy_pass` holds no address, or names have to be resolved and there is no `resolver`.",
    told_apart: "connect() returns EPROTOTYPE for a socket of the wrong type. ECONNREFUSED counts only if the \
                 path is no socket; otherwise it is `socket-refused`. nginx logs the other errors. A name \
                 server that fails is `dns-failure`.",
    fix: "Compare `proxy_pass`, `fastcgi_pass` or `uwsgi_pass` with the path and type that the service listens \
          on: `ss -xlp`. If `proxy_pass` has variables, log their values. If they hold names, set `resolver` (for \
          example `resolver 127.0.0.53;`): nginx does not read /etc/resolv.conf.",
    rivals: &["socket-refused", "socket-missing", "dns-failure"],
    needs: &[Signal::ConnectErrors],
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.log_kind() == Some(Kind::Misconfigured) {
        return Some(Finding::proven(format!(
            "nginx cannot do what its configuration asks for: {}.",
            case.log_words()
        )));
    }
    let path = case.path();
    let wrong = match (case.unix_connect_errno()?, case.unix_target()) {
        (EPROTOTYPE, _) => "a datagram socket, and nginx needs a stream socket",
        (ECONNREFUSED, Some(UnixTarget::NotASocket)) => "no socket",
        _ => return None,
    };
    Some(Finding::proven(format!("{path} is {wrong}: nginx has the wrong path.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, line, unix_error};
    use crate::verdict::{Confidence, Phase};

    #[test]
    fn wrong_socket_type_proves_it() {
        expect(&Case::of_connect_error(&unix_error(EPROTOTYPE)), "misconfigured", Confidence::Proven);
    }

    #[test]
    fn nginx_says_what_it_lacks() {
        for (message, phase, status) in [
            ("no resolver defined to resolve app.test", Phase::Resolve, Some(502)),
            ("no port in upstream \"x\"", Phase::Connect, Some(500)),
        ] {
            let line = line(message);
            let case = Case::of_line(&line, crate::testkit::id(1));
            expect(&case, "misconfigured", Confidence::Likely);
            assert_eq!((case.phase(), case.status()), (phase, status));
        }
    }

    #[test]
    fn a_refusal_alone_does_not() {
        assert_eq!(judge(&Case::of_connect_error(&unix_error(ECONNREFUSED))), None);
    }
}
