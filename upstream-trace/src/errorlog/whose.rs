//! Whose words come out of a descriptor of a worker. An access log may go to the same pipe as an error log, and a client may
//! decide how its lines begin.

use std::fs;
use std::path::{Path, PathBuf};

use upstream_trace_core::event::Outputs;

use crate::host::descriptor_path;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// Whose words a line is, if it has the form of an error log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// nginx's.
    Nginx,
    /// nginx's, or those of a client in an access log.
    Doubtful,
    /// No `error_log` goes to this pipe.
    Nobody,
    /// It is no pipe; files are read.
    Other,
}

/// Whose words a worker writes to this descriptor; `outputs` are those of its configuration, if that is known.
#[must_use]
pub fn whose(pid: u32, fd: i32, outputs: Option<&Outputs>) -> Whose {
    decide(fd, outputs, &|fd| fs::read_link(descriptor_path(pid, fd)).ok())
}

/// Whether lines may be a client's in what a runtime keeps of stdout, and of stderr.
pub(super) fn in_doubt(pid: u32, outputs: &Outputs) -> [bool; 2] {
    streams(outputs, &|fd| fs::read_link(descriptor_path(pid, fd)).ok())
}

fn streams(outputs: &Outputs, link: &dyn Fn(i32) -> Option<PathBuf>) -> [bool; 2] {
    if outputs.access.is_empty() {
        return [false; 2];
    }
    // Which of them an error_log goes to says nothing: a supervisor may join the two.
    [STDOUT, STDERR].map(|stream| {
        let own = link(number(stream));
        outputs.access.iter().any(|fd| *fd == stream || is_same(*fd, link, own.as_deref()))
    })
}

fn decide(fd: i32, outputs: Option<&Outputs>, link: &dyn Fn(i32) -> Option<PathBuf>) -> Whose {
    if fd == number(STDERR) {
        return Whose::Nginx;
    }
    let own = link(fd);
    let is_pipe = own.as_ref().and_then(|own| own.to_str()).is_some_and(|own| own.starts_with("pipe:"));
    let same = |fd: &u32| is_same(*fd, link, own.as_deref());
    match outputs {
        _ if !is_pipe => Whose::Other,
        Some(outputs) if !outputs.error.iter().any(same) => Whose::Nobody,
        Some(outputs) if outputs.access.iter().any(same) => Whose::Doubtful,
        None if !same(&STDERR) => Whose::Nobody,
        None if same(&STDOUT) => Whose::Doubtful,
        Some(_) | None => Whose::Nginx,
    }
}

fn is_same(fd: u32, link: &dyn Fn(i32) -> Option<PathBuf>, own: Option<&Path>) -> bool {
    own.is_some() && link(number(fd)).as_deref() == own
}

fn number(fd: u32) -> i32 {
    i32::try_from(fd).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    use Whose::{Doubtful, Nginx, Nobody, Other};

    /// Standard output and error, and what the fourth descriptor is.
    fn links(one: &'static str, two: &'static str, four: &'static str) -> impl Fn(i32) -> Option<PathBuf> {
        move |fd| match fd {
            1 => Some(one.into()),
            2 => Some(two.into()),
            4 => Some(four.into()),
            _ => None,
        }
    }

    fn outputs(error: &[u32], access: &[u32]) -> Outputs {
        let set = |fds: &[u32]| fds.iter().copied().collect();
        Outputs { error: set(error), access: set(access), ..Outputs::default() }
    }

    const OUT: &str = "pipe:[1]";
    const ERR: &str = "pipe:[2]";

    #[test]
    fn a_pipe_is_a_log_only_if_an_error_log_goes_there() {
        let (error, access) = (links(OUT, ERR, ERR), links(OUT, ERR, OUT));
        let usual = outputs(&[2], &[1]);
        for known in [Some(&usual), None] {
            assert_eq!((decide(4, known, &error), decide(4, known, &access)), (Nginx, Nobody));
            assert_eq!(decide(2, known, &access), Nginx);
        }
        assert_eq!(decide(4, Some(&outputs(&[1], &[])), &access), Nginx);
        assert_eq!(decide(4, Some(&outputs(&[7], &[])), &links(OUT, ERR, "pipe:[3]")), Nobody);
    }

    #[test]
    fn where_both_go_lines_are_doubtful() {
        let one = links(ERR, ERR, ERR);
        assert_eq!(decide(4, Some(&outputs(&[2], &[1])), &one), Doubtful);
        assert_eq!(decide(4, Some(&outputs(&[2], &[])), &one), Nginx);
        assert_eq!(decide(4, Some(&outputs(&[], &[1])), &one), Nobody, "`error_log stderr` is descriptor 2");
        assert_eq!((decide(4, None, &one), decide(2, None, &one)), (Doubtful, Nginx));
    }

    #[test]
    fn what_is_no_pipe_is_read_elsewhere() {
        for other in ["/var/log/access.log", "socket:[2]", "/dev/null"] {
            assert_eq!(decide(4, None, &links(OUT, other, other)), Other, "{other}");
        }
        assert_eq!(decide(9, None, &links(OUT, ERR, ERR)), Other, "closed since");
    }

    #[test]
    fn streams_that_a_runtime_keeps() {
        let (two, one) = (links(OUT, ERR, ""), links(OUT, OUT, ""));
        assert_eq!(streams(&outputs(&[2], &[1]), &two), [true, false]);
        assert_eq!(streams(&outputs(&[2], &[1]), &one), [true, true]);
        assert_eq!(streams(&outputs(&[1], &[]), &one), [false, false]);
    }
}
