//! nginx could not write or read its own temporary or cache file.

use super::{Cause, Finding, PeerFailure, Signal};
use crate::case::Case;
use crate::errno::{EACCES, ENOSPC, EROFS};
use crate::errorlog::{self, Kind};
use crate::text::shell;

pub(super) const CAUSE: Cause = Cause {
    id: "temp-file-failed",
    reason: Some(0),
    title: "nginx could not write or read its own temporary or cache file",
    means: "The response did not fit nginx's buffers, and nginx could not put the rest into a temporary or \
            cache file: no space or inodes, a quota, missing permissions, a read-only or broken file system. \
            nginx cut the response off; the client got a status and a truncated body.",
    told_apart: "nginx logs it with the file and the errno. To the kernel it looks as if nginx had ended a \
                 healthy response. If the origin cut it off, it is `truncated-response`; if it stalled, \
                 `slow-body`.",
    fix: "`df -h` and `df -i` for the file system of `proxy_temp_path` (fastcgi_, uwsgi_ and scgi_ have their \
          own) and `proxy_cache_path`; its owner must be nginx's user: `namei -l PATH`. Without temporary \
          files: `proxy_max_temp_file_size 0;`.",
    rivals: &["truncated-response", "slow-body"],
    needs: &[Signal::Answers],
    counts_against_peer: PeerFailure::No,
    judge,
    ..Cause::BLANK
};

fn judge(case: &Case<'_>) -> Option<Finding> {
    if case.log_kind()? != Kind::TempFile {
        return None;
    }
    let file = case.log.and_then(errorlog::file_named).unwrap_or_default();
    let word = shell::word(file, "PATH");
    let fix = match case.log.and_then(|line| line.errno) {
        Some(ENOSPC) => format!(
            "`df -h {word}` and `df -i {word}`: free space or inodes there, or move `proxy_temp_path`."
        ),
        Some(EACCES) => format!(
            "`namei -l {word}`: nginx's user must own the folders of `proxy_temp_path` and search those above."
        ),
        Some(EROFS) => format!("`findmnt -T {word}`: that file system is mounted read-only."),
        _ => format!("`findmnt -T {word}` shows the file system; `dmesg -T` its errors."),
    };
    // The log is the only place where this exists.
    Some(
        Finding::proven(format!(
            "nginx could not keep the response of {} in its temporary or cache file: {}.",
            case.target(),
            case.log_words()
        ))
        .fix(fix),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LogLine;
    use crate::testkit::{expect, line, unanswered_request};
    use crate::verdict::Confidence::Likely;

    fn full() -> LogLine {
        let mut line = line(
            "pwritev() \"/var/lib/nginx/proxy/1/00/0000000001\" failed (28: No space left on device) while reading upstream",
        );
        line.level = "crit".to_owned();
        line
    }

    #[test]
    fn nginx_names_the_file_and_the_error() {
        let mut attempt = unanswered_request();
        (attempt.outstanding, attempt.bytes_received) = (false, 100_000);
        let line = full();
        let case = Case::of_healthy(&attempt, &line);
        expect(&case, "temp-file-failed", Likely);
        let (_, finding) = crate::cause::judge(&case);
        assert!(finding.summary.contains("No space left"), "{}", finding.summary);
        assert!(finding.fix.is_some_and(|fix| fix.contains("`df -h /var/lib/nginx/proxy/1/00/0000000001`")));
    }
}
