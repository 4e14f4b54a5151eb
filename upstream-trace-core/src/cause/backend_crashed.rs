//! The process that held the connection died.

use std::borrow::Cow;

use super::{Cause, Finding, Signal, process};
use crate::case::Case;
use crate::errorlog::{Doing, Kind};
use crate::event::MS;
use crate::event::{Nanos, OriginExit};
use crate::text::sentence;

pub(super) const CAUSE: Cause = Cause {
    id: "backend-crashed",
    reason: Some(2),
    title: "the process that served the connection died",
    means: "A process of the origin on this host was killed by a signal, or exited with an error, while nginx \
            waited for its response; the kernel then closed its connections. Typical: a bug (SIGSEGV, SIGABRT), \
            the OOM killer (SIGKILL; newer kernels report it), a supervisor's timeout (SIGKILL), a stop or \
            restart that does not wait for requests (SIGTERM), an unhandled exception (exit status other than \
            0).",
    told_apart: "The kernel was seen to close this connection for a process that was exiting, or the end of the \
                 process was seen, and the close or reset right after it. That needs an origin on this kernel, in \
                 whatever network namespace; elsewhere the same event is `premature-close` or `reset-by-backend`. A process that exits with status 0 did not crash. \
                 A connection that no process had accepted yet is `listener-closed`.",
    fix: "`journalctl -u SERVICE` at that time, `coredumpctl list`; for SIGKILL `dmesg -T | grep -i 'killed \
          process'` shows what the OOM killer chose. If it was a restart: stop the service gracefully, with a \
          stop timeout longer than its longest request.",
    rivals: &["premature-close", "reset-by-backend", "listener-closed"],
    needs: &[Signal::Exits, Signal::Resets],
    judge,
    ..Cause::BLANK
};

/// Where other processes serve the upstream as well, only what follows so closely belongs together.
const CLOSELY: Nanos = 100 * MS;

fn judge(case: &Case<'_>) -> Option<Finding> {
    let (exit, ended) = crash(case)?;
    let summary = summary(case, &exit, ended);
    let first = ended >= exit.at;
    // Who closed this very connection was seen, or nobody else could have.
    let seen = case.closed_by.is_some_and(|closed| closed.exiting && closed.pid == exit.pid);
    Some(if seen || (exit.alone && first) {
        Finding::proven(summary).fix(fix(&exit))
    } else {
        let rival = if case.fin_at().is_some() { "premature-close" } else { "reset-by-backend" };
        Finding::likely(summary).or(&[rival]).fix(fix(&exit))
    })
}

/// The process of the origin that died and took the connection with it, and when the connection ended. Other
/// recognisers of what then looks like a close without reason are not as sure of themselves.
pub(super) fn crash<'a>(case: &Case<'a>) -> Option<(Cow<'a, OriginExit>, Nanos)> {
    let attempt = &case.attempt;
    let ended = case.ended_by_origin()?;
    // Where nobody watched, nginx's words tell that no answer had come.
    let told = attempt.by_socket
        && matches!(case.log_kind(), Some(Kind::Closed | Kind::Receive))
        && case.log_doing() == Some(Doing::Header);
    let waits = (attempt.outstanding || told) && attempt.bytes_received == 0 && !attempt.sent_after_fin;
    if !waits
        || case.connect.is_some()
        || case.connecting()
        || attempt.request.is_some_and(|sent| sent > ended)
    {
        return None;
    }
    if let Some(closed) = case.closed_by.filter(|closed| closed.exiting) {
        let mut exit = closed.exit(attempt.netns, attempt.upstream.clone()?)?;
        // What was looked up while it was there.
        if let Some(known) = case.exits.iter().find(|known| known.pid == closed.pid) {
            exit.command.clone_from(&known.command);
            exit.home = known.home.clone().or(exit.home);
        }
        let crashed = exit.signal.is_some() || exit.status.is_some_and(|status| status != 0);
        return crashed.then_some((Cow::Owned(exit), ended));
    }
    let fits = |exit: &&OriginExit| match (exit.signal, exit.status) {
        // A process that went on had closed it: a runtime on its way to its exit does so, a process that is killed does
        // not.
        _ if case.closed_by.is_some_and(|closed| closed.pid != exit.pid || exit.signal.is_some()) => false,
        // The kernel closes the connections of a process that was killed; before that, nobody did.
        (Some(_), _) => ended >= exit.at && (exit.alone || ended - exit.at <= CLOSELY),
        (None, Some(status)) => status != 0 && (exit.alone || exit.at.abs_diff(ended) <= CLOSELY),
        (None, None) => false,
    };
    let nearest = |exit: &&OriginExit| exit.at.abs_diff(ended);
    case.exits
        .iter()
        .copied()
        .filter(|exit| fits(exit))
        .min_by_key(nearest)
        .map(|exit| (Cow::Borrowed(exit), ended))
}

fn summary(case: &Case<'_>, exit: &OriginExit, ended: Nanos) -> String {
    let after = ended.saturating_sub(case.attempt.request.unwrap_or(case.attempt.begun)) / MS;
    let listed = case.exits.iter().find(|other| other.pid == exit.pid);
    let which = match listed.map(|listed| listed.alone) {
        Some(true) => "the process behind",
        Some(false) => "one of the processes behind",
        // It ended before anybody had looked for who else serves.
        None => "a process behind",
    };
    format!(
        "{}, {which} {}, {}; its connection ended {after} ms after the request.",
        process::who(exit),
        case.target(),
        process::how(exit)
    )
}

fn fix(exit: &OriginExit) -> String {
    let (name, pid, look) = (sentence(&exit.name), exit.pid, process::look(exit));
    match (exit.signal, exit.status) {
        (Some(_), _) if exit.out_of_memory == Some(true) => format!(
            "Raise its memory limit (cgroup, container or host) or find what uses the memory: \
             `dmesg -T | grep -i 'killed process {pid}'` shows how much it had, {look} what it did."
        ),
        (Some(9), _) if exit.out_of_memory.is_none() => format!(
            "SIGKILL comes from the OOM killer, a supervisor or an admin. `dmesg -T | grep -i 'killed process \
            {pid}'` \
             shows it if it was the OOM killer: then raise the memory limit or find the leak. Otherwise check the \
             supervisor (gunicorn and systemd kill what does not answer in time): {look}."
        ),
        (Some(9), _) => format!(
            "It was not the OOM killer: look for a supervisor's timeout (gunicorn and systemd kill what does not \
            answer \
             in time) or a manual kill -9: {look}."
        ),
        (Some(4 | 6 | 7 | 8 | 11 | 31), _) => format!(
            "A bug in {name} or one of its libraries: `coredumpctl info {pid}` and {look}, `dmesg -T` for the \
            address. \
             Until it is fixed, let nginx try another upstream (proxy_next_upstream)."
        ),
        (Some(1 | 2 | 3 | 15), _) => format!(
            "{name} was told to stop and did not let its requests finish: {look} may show by whom. Stop it \
            gracefully, \
             with a stop timeout longer than its longest request."
        ),
        _ => format!("See what {name} logged last: {look}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::OriginClosed;
    use crate::testkit::{
        expect, line, origin_closed, origin_killed, reused_request, unanswered_request, verdict, with_fin,
        with_reset,
    };
    use crate::verdict::Confidence;

    fn status(at_ms: u64, status: i32) -> OriginExit {
        OriginExit { signal: None, status: Some(status), ..origin_killed(at_ms) }
    }

    #[test]
    fn the_only_process_was_killed_and_its_connection_ended() {
        let killed = origin_killed(499);
        for attempt in [with_fin(unanswered_request(), 500), with_reset(unanswered_request(), 500)] {
            let mut case = Case::of_attempt(&attempt);
            case.exits.push(&killed);
            expect(&case, "backend-crashed", Confidence::Proven);
            assert_eq!(case.status(), Some(502));
            let found = judge(&case).expect("found");
            assert!(
                found.summary.contains("app[4711]") && found.summary.contains("SIGKILL"),
                "{}",
                found.summary
            );
            assert!(found.fix.is_some_and(|fix| fix.contains("journalctl -u app.service")));
        }
    }

    #[test]
    fn where_nobody_watched_nginx_says_that_no_answer_had_come() {
        let line = line("upstream prematurely closed connection while reading response header from upstream");
        let (mut attempt, killed) = (with_fin(unanswered_request(), 500), origin_killed(499));
        (attempt.by_socket, attempt.outstanding, attempt.socket.received) = (true, false, 2_000);
        let mut case = Case::of_attempt(&attempt);
        case.exits.push(&killed);
        (case.log, case.by_log) = (Some(&line), true);
        expect(&case, "backend-crashed", Confidence::Proven);
    }

    #[test]
    fn one_of_several_is_likely_and_only_if_it_follows_closely() {
        let attempt = with_fin(unanswered_request(), 500);
        let mut killed = origin_killed(499);
        killed.alone = false;
        let mut case = Case::of_attempt(&attempt);
        case.exits.push(&killed);
        assert_eq!(verdict(&case), ("backend-crashed", Confidence::Likely, vec!["premature-close"]));
        let mut earlier = origin_killed(300);
        earlier.alone = false;
        case.exits = vec![&earlier];
        expect(&case, "premature-close", Confidence::Proven);
    }

    #[test]
    fn who_closed_this_very_connection_decides() {
        let attempt = with_fin(unanswered_request(), 500);
        let closed = origin_closed(499);
        let mut case = Case::of_attempt(&attempt);
        case.closed_by = Some(&closed);
        expect(&case, "backend-crashed", Confidence::Proven);
        // One of many that serve, in whatever network namespace.
        let several = OriginExit { alone: false, ..origin_killed(499) };
        case.exits.push(&several);
        expect(&case, "backend-crashed", Confidence::Proven);
        let summary = judge(&case).expect("found").summary;
        assert!(summary.contains("one of the processes behind"), "{summary}");
        // It was another that was killed in that moment.
        let alive = OriginClosed { pid: 99, exiting: false, signal: None, ..closed.clone() };
        case.closed_by = Some(&alive);
        expect(&case, "premature-close", Confidence::Proven);
        let orderly = OriginClosed { signal: None, status: Some(0), ..closed.clone() };
        case.closed_by = Some(&orderly);
        expect(&case, "premature-close", Confidence::Proven);
        // A runtime closes what is open before it exits.
        let (failed, closing) =
            (status(510, 1), OriginClosed { exiting: false, signal: None, ..closed.clone() });
        (case.exits, case.closed_by) = (vec![&failed], Some(&closing));
        expect(&case, "backend-crashed", Confidence::Likely);
    }

    #[test]
    fn an_orderly_end_is_no_crash() {
        let attempt = with_fin(unanswered_request(), 500);
        let (orderly, failed, closed_first) = (status(499, 0), status(499, 1), status(510, 1));
        let mut case = Case::of_attempt(&attempt);
        case.exits.push(&orderly);
        expect(&case, "premature-close", Confidence::Proven);
        case.exits = vec![&failed];
        expect(&case, "backend-crashed", Confidence::Proven);
        case.exits = vec![&closed_first];
        expect(&case, "backend-crashed", Confidence::Likely);
    }

    #[test]
    fn a_connection_that_ended_before_the_kill_has_another_cause() {
        let (attempt, killed) = (with_fin(unanswered_request(), 500), origin_killed(501));
        let mut case = Case::of_attempt(&attempt);
        case.exits.push(&killed);
        expect(&case, "premature-close", Confidence::Proven);
    }

    #[test]
    fn a_request_on_a_connection_that_had_been_closed_is_stale() {
        let mut attempt = with_fin(reused_request(), 9_999);
        (attempt.sent_after_fin, attempt.unacked_at_end) = (true, false);
        let killed = origin_killed(9_998);
        let mut case = Case::of_attempt(&attempt);
        case.exits.push(&killed);
        assert_eq!(judge(&case), None);
    }

    #[test]
    fn an_answer_that_had_begun_is_for_others() {
        let mut attempt = with_fin(unanswered_request(), 500);
        (attempt.outstanding, attempt.bytes_received) = (false, 10);
        let killed = origin_killed(499);
        let mut case = Case::of_attempt(&attempt);
        case.exits.push(&killed);
        assert_eq!(judge(&case), None);
    }

    #[test]
    fn what_to_do_depends_on_how_it_ended() {
        let oom = OriginExit { out_of_memory: Some(true), ..origin_killed(1) };
        assert!(fix(&oom).starts_with("Raise its memory limit"));
        assert!(fix(&origin_killed(1)).contains("supervisor"));
        let untold = OriginExit { out_of_memory: None, ..origin_killed(1) };
        assert!(fix(&untold).contains("OOM killer"));
        assert!(fix(&OriginExit { signal: Some(11), ..origin_killed(1) }).contains("coredumpctl"));
        assert!(fix(&status(1, 3)).contains("journalctl -u app.service"));
    }
}
