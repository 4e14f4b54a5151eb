//! Whose logs are read, and why those of others are not.

use std::collections::{BTreeMap, HashSet};

use super::find::Elsewhere;
use super::processes::Held;

/// Why no log of a worker is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Why {
    /// None is a file.
    Elsewhere(Elsewhere),
    /// A file could not be opened.
    Unreadable {
        /// Which.
        file: String,
        /// What the kernel said.
        error: String,
    },
    /// The output of its container cannot be read.
    Container(String),
    /// It goes to this server of syslog alone.
    Syslog(String),
    /// The journal has left lines of it out.
    Suppressed,
    /// A file system does not answer.
    Hangs {
        /// Which file was touched.
        file: String,
    },
    /// Its descriptors may not be looked at.
    Refused(String),
}

impl Why {
    pub(super) fn of(held: &Held, unreadable: Option<(&str, &str)>) -> Self {
        if let Some(file) = &held.hanging {
            return Self::Hangs { file: file.to_string() };
        }
        if held.too_many {
            let (file, error) = ("A further file".to_owned(), "too many are open".to_owned());
            return Self::Unreadable { file, error };
        }
        match (held.refused, unreadable) {
            (Some(error), _) => Self::Refused(error.to_string()),
            (None, Some((file, error))) => {
                Self::Unreadable { file: file.to_owned(), error: error.to_owned() }
            }
            (None, None) => Self::Elsewhere(held.elsewhere),
        }
    }

    fn sentence(&self, workers: &str) -> String {
        let what = match self {
            Self::Elsewhere(Elsewhere::Nowhere) => {
                format!(
                    "No file is open as error.log of {workers}; --error-log FILE names one, and beside an `error_log` that \
                     is `syslog:` a second one may be a file"
                )
            }
            Self::Elsewhere(elsewhere) => {
                let place = match elsewhere {
                    Elsewhere::Null => "/dev/null",
                    Elsewhere::Terminal => "a terminal",
                    Elsewhere::Socket => "a socket",
                    Elsewhere::Pipe | Elsewhere::Nowhere => "a pipe",
                };
                format!("error.log of {workers} goes to {place} and cannot be read")
            }
            Self::Unreadable { file, error } => {
                format!("{file}, error.log of {workers}, cannot be read ({error})")
            }
            Self::Container(trouble) => {
                return format!(
                    "error.log of {workers} is no file; {trouble}: verdicts come from the kernel alone. \
                     With `error_log /var/log/nginx/error.log;` in a folder that is no link, or with --error-log FILE, \
                     nginx's own words are read as well."
                );
            }
            Self::Syslog(server) => {
                return format!(
                    "error.log of {workers} is `syslog:` at {server}, at least in part: verdicts come from the kernel alone. \
                     With --error-log and the file that the syslog server writes, or with a second `error_log` that is a \
                     file beside the first, nginx's own words are read as well."
                );
            }
            Self::Suppressed => {
                return format!(
                    "The journal leaves out lines of {workers}, of which there are too many at once: that a line is missing                      tells nothing now. `RateLimitBurst=` in journald.conf, or `LogRateLimitBurst=` of the unit, lets more pass."
                );
            }
            Self::Hangs { file } => {
                format!("{file}, error.log of {workers}, does not answer: its file system hangs")
            }
            Self::Refused(error) => format!("The open files of {workers} cannot be looked at ({error})"),
        };
        format!("{what}: verdicts come from the kernel alone.")
    }
}

/// Sentences that were said, so that none is said twice.
#[derive(Debug, Default)]
pub(super) struct Notes {
    said: HashSet<String>,
}

/// Different sentences, at most.
const MAX_NOTES: usize = 64;

impl Notes {
    /// Why these workers are without a log, in one sentence for each reason that is new.
    pub(super) fn without_log(&mut self, workers: Vec<(u32, Why)>) -> Vec<String> {
        let mut by_reason: BTreeMap<Why, Vec<u32>> = BTreeMap::new();
        for (worker, why) in workers {
            by_reason.entry(why).or_default().push(worker);
        }
        let sentences =
            by_reason.into_iter().filter(|(why, _)| self.is_new(format!("{why:?}"))).collect::<Vec<_>>();
        sentences.into_iter().map(|(why, workers)| why.sentence(&name(&workers))).collect()
    }

    /// True the first time.
    pub(super) fn is_new(&mut self, what: String) -> bool {
        self.said.len() < MAX_NOTES && self.said.insert(what)
    }
}

fn name(workers: &[u32]) -> String {
    match workers {
        [worker] => format!("worker {worker}"),
        [..] if workers.len() > 8 => format!("{} workers", workers.len()),
        _ => format!("workers {}", workers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once() {
        let mut notes = Notes::default();
        let pipe = || Why::Elsewhere(Elsewhere::Pipe);
        let refused = Why::Refused("permission denied".into());
        let said = notes.without_log(vec![(7, pipe()), (8, refused), (9, pipe())]);
        assert_eq!(
            said,
            [
                "error.log of workers 7 9 goes to a pipe and cannot be read: verdicts come from the kernel alone.",
                "The open files of worker 8 cannot be looked at (permission denied): verdicts come from the kernel alone.",
            ]
        );
        assert!(notes.without_log(vec![(10, pipe())]).is_empty());
        assert_eq!(notes.without_log(vec![(11, Why::Elsewhere(Elsewhere::Null))]).len(), 1);
    }

    #[test]
    fn where_only_syslog_may_be_meant_the_next_step_is_said() {
        let said = Notes::default().without_log(vec![(7, Why::Elsewhere(Elsewhere::Nowhere))]);
        assert!(said[0].contains("`syslog:` a second one may be a file: verdicts come"), "{said:?}");
    }

    #[test]
    fn lines_that_go_to_syslog_have_a_next_step() {
        let said = Notes::default().without_log(vec![(7, Why::Syslog("10.0.0.1:514".to_owned()))]);
        assert!(said[0].starts_with("error.log of worker 7 is `syslog:` at 10.0.0.1:514"), "{said:?}");
        assert!(said[0].contains("--error-log"), "{said:?}");
    }

    #[test]
    fn sentences_do_not_fill_memory() {
        let mut notes = Notes::default();
        assert_eq!((0..1000).filter(|number| notes.is_new(number.to_string())).count(), MAX_NOTES);
    }
}
