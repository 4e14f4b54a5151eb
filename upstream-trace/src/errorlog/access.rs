//! Files of access logs whose lines a client may begin, with the words of an error if it likes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use upstream_trace_core::event::{LogSource, Outputs};

use super::file::FileId;
use super::processes::Held;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct AccessLogs {
    /// Those that are nothing else, for any worker that has them open.
    pub(super) only: HashSet<FileId>,
    /// Those that error logs go to as well.
    both: HashSet<FileId>,
    /// Workers that send such lines to syslog; true if with the severity of an error.
    syslog: BTreeMap<u32, bool>,
}

impl AccessLogs {
    /// Those of these workers; `held` says what a worker has open.
    pub(super) fn of<'a>(
        outputs: &BTreeMap<u32, Arc<Outputs>>,
        held: &dyn Fn(u32) -> Option<&'a Held>,
    ) -> Self {
        let (mut logs, mut others) = (Self::default(), HashSet::new());
        let any_file = outputs.values().any(|outputs| !outputs.files.is_empty());
        for (pid, outputs) in outputs {
            if outputs.syslog {
                logs.syslog.insert(*pid, outputs.severe);
            }
            for open in held(*pid).filter(|_| any_file).into_iter().flat_map(|held| &held.files) {
                match outputs.files.get(&*open.name) {
                    Some(false) if !open.stderr => &mut logs.only,
                    Some(_) => &mut logs.both,
                    None => &mut others,
                }
                .insert(open.id);
            }
        }
        // What is one worker's error log is that, whatever another calls it.
        others.extend(&logs.both);
        let (both, only): (Vec<_>, Vec<_>) = logs.only.iter().partition(|id| others.contains(id));
        logs.both.extend(both);
        logs.only = only.into_iter().collect();
        logs
    }

    /// Whether they may be among lines of this worker, in this file or from this place.
    pub(super) fn are_in(&self, worker: u32, file: FileId, source: Option<LogSource>) -> bool {
        let by_syslog = match (source, self.syslog.get(&worker)) {
            // The journal is asked for what is severe.
            (Some(LogSource::Journal), Some(severe)) => *severe,
            (Some(LogSource::Syslog), Some(_)) => true,
            _ => false,
        };
        by_syslog || self.only.contains(&file) || self.both.contains(&file)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::find::Open;
    use super::super::tests::Dir;
    use super::*;

    fn outputs(files: &[(&str, bool)]) -> Arc<Outputs> {
        let files = files.iter().map(|(name, both)| ((*name).to_owned(), *both)).collect();
        Arc::new(Outputs { files, ..Outputs::default() })
    }

    #[test]
    fn a_file_is_an_access_log_if_no_worker_has_errors_in_it() {
        let dir = Dir::new("access-logs");
        let open = |name: &str, fd| {
            let id = FileId::of(&File::create(dir.path(name)).unwrap().metadata().unwrap());
            Open { fd, id, name: name.into(), stderr: fd == 2, mount: 1 }
        };
        let (error, access, both) = (open("error", 3), open("access", 4), open("both", 5));
        let (another, stderr) = (open("another", 6), open("stderr", 2));
        let all = vec![error.clone(), access.clone(), both.clone(), another.clone(), stderr.clone()];
        let held = [(7, Held::of(all)), (8, Held::of(vec![error.clone(), another.clone()]))];
        let held = |pid| held.iter().find(|(known, _)| *known == pid).map(|(_, held)| held);
        let of_7 = outputs(&[("access", false), ("both", true), ("another", false), ("stderr", false)]);
        let logs = AccessLogs::of(&[(7, of_7), (8, outputs(&[]))].into(), &held);
        assert_eq!(logs.only, [access.id].into());
        let doubtful = |open: &Open| logs.are_in(7, open.id, None);
        assert!(doubtful(&both) && doubtful(&another) && doubtful(&stderr) && !doubtful(&error));
    }

    #[test]
    fn syslog_holds_both_and_the_journal_those_that_are_severe() {
        let of = |severe| Arc::new(Outputs { syslog: true, severe, ..Outputs::default() });
        let logs = AccessLogs::of(&[(7, of(false)), (8, of(true)), (9, Arc::default())].into(), &|_| None);
        let dir = Dir::new("access-syslog");
        let id = FileId::of(&File::create(dir.path("x")).unwrap().metadata().unwrap());
        let among = |source| [7, 8, 9].map(|worker| logs.are_in(worker, id, Some(source)));
        assert_eq!(among(LogSource::Syslog), [true, true, false]);
        assert_eq!(among(LogSource::Journal), [false, true, false]);
        assert_eq!(among(LogSource::Cri), [false; 3]);
    }
}
