//! nginx was told something that cannot work.

use super::{Cause, Finding};
use crate::case::Case;
use crate::errno::{ECONNREFUSED, EPROTOTYPE};
use crate::event::UnixTarget;

pub(super) const CAUSE: Cause = Cause {
    id: "misconfigured",
    reason: Some(0),
    title: "nginx was told something that cannot work",
    means: "The configured upstream can never answer: the path is a datagram socket, or no socket at all.",
    told_apart: "connect() returns EPROTOTYPE for a socket of the wrong type. ECONNREFUSED counts only if a look at \
                 the path shows that it is no socket; else it is `socket-refused`.",
    fix: "Compare `proxy_pass`, `fastcgi_pass` or `uwsgi_pass` with the path and the type that the service listens on: \
          `ss -xlp`.",
    judge,
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    let path = case.path();
    let wrong = match (case.unix_connect_errno()?, case.unix_target()) {
        (EPROTOTYPE, _) => "a datagram socket, and nginx needs a stream socket",
        (ECONNREFUSED, Some(UnixTarget::NotASocket)) => "no socket",
        _ => return None,
    };
    Some(Finding::proven(format!("{path} is {wrong}: nginx is configured with a wrong path.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{expect, unix_error};
    use crate::verdict::Confidence;

    #[test]
    fn wrong_socket_type_proves_it() {
        expect(&Case::of_connect_error(&unix_error(EPROTOTYPE)), "misconfigured", Confidence::Proven);
    }

    #[test]
    fn a_refusal_alone_does_not() {
        assert_eq!(judge(&Case::of_connect_error(&unix_error(ECONNREFUSED))), None);
    }
}
