//! Where the lines of a process go that writes them to a pipe or a socket: to a file of the runtime of its container, as
//! a rule, or to the journal. Found without asking the runtime; looked at again and again, since the runtime begins another file when it
//! rotates.

mod container;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use upstream_trace_core::errorlog::Stream;
use upstream_trace_core::event::Nanos;

use super::file::FileId;
use super::journal::Journal;
use super::pids::REMEMBERED;
use super::syslog;
use super::watchdog::{Mount, Watchdog};
use crate::host::container::ContainerLog;
use crate::host::{started_at, stat};
pub(super) use container::Outside;

/// The containers of processes that write to a pipe or a socket.
#[derive(Debug)]
pub(super) struct Outsides {
    /// What was written before is not read.
    begun: SystemTime,
    by_pid: BTreeMap<u32, Option<Arc<str>>>,
    /// Those whose unit was not looked for.
    unitless: BTreeSet<u32>,
    /// Processes that are gone, and since when: their last lines are read after their end.
    gone: BTreeMap<u32, (Arc<str>, Nanos)>,
    by_id: BTreeMap<Arc<str>, Outside>,
}

impl Default for Outsides {
    fn default() -> Self {
        Self {
            begun: SystemTime::now(),
            by_pid: BTreeMap::new(),
            unitless: BTreeSet::new(),
            gone: BTreeMap::new(),
            by_id: BTreeMap::new(),
        }
    }
}

impl Outsides {
    /// A process writes to a pipe or a socket: its container is looked for, once; its unit too if its log may go to the
    /// journal. True if something may have been found.
    pub(super) fn add(&mut self, pid: u32, by_journal: bool) -> bool {
        if self.by_pid.contains_key(&pid) && !(by_journal && self.unitless.contains(&pid)) {
            return false;
        }
        if by_journal {
            self.unitless.remove(&pid);
        } else {
            self.unitless.insert(pid);
        }
        // A worker runs where its master does.
        let of_parent = stat(pid).and_then(|stat| self.by_pid.get(&stat.parent)?.clone());
        let id = of_parent.or_else(|| {
            let (id, outside) =
                Outside::of_container(pid).or_else(|| Outside::of_unit(pid).filter(|_| by_journal))?;
            self.insert(pid, &id, outside);
            Some(id)
        });
        self.by_pid.insert(pid, id);
        true
    }

    /// A process sends lines to these servers of syslog, and to no file. True if it is new.
    pub(super) fn add_syslog(&mut self, pid: u32, servers: &[String]) -> bool {
        if self.by_pid.contains_key(&pid) {
            return false;
        }
        let (id, outside) = syslog::outside(pid, servers);
        self.insert(pid, &id, outside);
        self.by_pid.insert(pid, Some(id));
        true
    }

    fn insert(&mut self, pid: u32, id: &Arc<str>, outside: Outside) {
        // Between its start and now it may have written something.
        let since = started_at(pid).map_or(self.begun, |started| started.max(self.begun));
        self.by_id.entry(Arc::clone(id)).or_insert(Outside { since, ..outside });
    }

    /// A process is gone.
    pub(super) fn remove(&mut self, pid: u32, now: Nanos) {
        self.unitless.remove(&pid);
        if let Some(Some(id)) = self.by_pid.remove(&pid) {
            self.gone.insert(pid, (id, now));
        }
    }

    /// Forgets those that are gone for long.
    pub(super) fn forget(&mut self, now: Nanos) {
        self.gone.retain(|_, (_, since)| now.saturating_sub(*since) < REMEMBERED);
        let Self { by_pid, gone, by_id, .. } = self;
        let used = |id: &Arc<str>| {
            by_pid.values().flatten().any(|used| used == id) || gone.values().any(|(used, _)| used == id)
        };
        by_id.retain(|id, _| used(id));
    }

    /// The container of a process.
    pub(super) fn get(&self, pid: u32) -> Option<&Outside> {
        self.by_id.get(self.by_pid.get(&pid)?.as_ref()?)
    }

    /// Whether lines of its stdout, and of its stderr, may be those of an access log.
    pub(super) fn set_doubt(&mut self, pid: u32, doubt: impl FnOnce() -> [bool; 2]) {
        if let Some(Some(id)) = self.by_pid.get(&pid)
            && let Some(outside) = self.by_id.get_mut(id)
        {
            outside.doubt = doubt();
        }
    }

    /// Whether this is true of a line of this process.
    pub(super) fn is_in_doubt(&self, pid: u32, stream: Option<Stream>) -> bool {
        let of_gone = || self.by_id.get(&self.gone.get(&pid)?.0);
        let doubt = self.get(pid).or_else(of_gone).map_or([false; 2], |outside| outside.doubt);
        match stream {
            Some(Stream::Stdout) => doubt[0],
            Some(Stream::Stderr) => doubt[1],
            None => false,
        }
    }

    /// The output of a process goes to this file.
    pub(super) fn holds(&self, pid: u32, id: FileId) -> bool {
        let of_gone = || self.by_id.get(&self.gone.get(&pid)?.0);
        self.get(pid).or_else(of_gone).is_some_and(|outside| outside.file == Some(id))
    }

    /// Some container's output goes to this file.
    pub(super) fn anyone_holds(&self, id: FileId) -> bool {
        self.by_id.values().any(|outside| outside.file == Some(id))
    }

    /// Gives back the memory of what was read of journals; `read` says up to where a file was.
    pub(super) fn forget_read(&self, read: &dyn Fn(FileId) -> Option<u64>) {
        for journal in self.by_id.values().filter_map(|outside| outside.journal.as_ref()) {
            journal.forget(read(journal.id).unwrap_or(0));
        }
    }

    /// At the end: reads what journals have that was not told yet.
    pub(super) fn finish(&mut self) {
        for outside in self.by_id.values_mut() {
            let finished = outside.journal.as_mut().map(Journal::finish);
            if let Some(Err(error)) = finished {
                log::debug!("the end of the journal of {}: {error}", outside.container);
            }
        }
    }

    /// Looks at the files that are written to now. `found` gets the path of each that is new, its name, and its mount.
    /// True if anything changed.
    pub(super) fn look(
        &mut self,
        watchdog: &Watchdog,
        found: &mut dyn FnMut(&Path, &str, Mount) -> io::Result<()>,
    ) -> bool {
        let mut changed = false;
        for outside in self.by_id.values_mut() {
            let looked = match outside.log.clone() {
                ContainerLog::File(path) => outside.look_at(&path, watchdog, found),
                ContainerLog::Journal => outside.look_at_journal(found),
                ContainerLog::Driver(_) | ContainerLog::Unknown => continue,
            };
            let before = (outside.file, outside.error.take());
            match looked {
                Ok(id) => outside.file = Some(id),
                Err(error) => {
                    // A file that was renamed is still read; a journal whose reader ended is not.
                    outside.file = outside.file.filter(|_| outside.log != ContainerLog::Journal);
                    outside.error = Some(error.to_string());
                }
            }
            changed |= before.0 != outside.file || before.1 != outside.error;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::super::journal::Of;
    use super::super::tests::Dir;
    use super::container::NOWHERE;
    use super::*;
    use crate::host::container::Files;

    fn outsides(log: ContainerLog, root: &Path) -> Outsides {
        let id: Arc<str> = "id".into();
        let files = Files::below(root);
        let of = Of::Unit("none".to_owned());
        let outside = Outside { files, ..Outside::new("docker container web".to_owned(), log, of) };
        Outsides {
            by_pid: [(7, Some(Arc::clone(&id)))].into(),
            by_id: [(id, outside)].into(),
            ..Outsides::default()
        }
    }

    #[test]
    fn a_file_is_found_again_after_a_rotation() {
        let dir = Dir::new("outside");
        dir.write("x.log", "one");
        let mut outsides = outsides(ContainerLog::File("/x.log".into()), &dir.path(""));
        let mut count = 0;
        let mut look = |outsides: &mut Outsides| {
            outsides.look(&Watchdog::default(), &mut |path, name, _| {
                assert!(path.exists() && name == "/x.log");
                count += 1;
                Ok(())
            });
            count
        };
        assert_eq!((look(&mut outsides), look(&mut outsides)), (1, 1));
        let first = outsides.get(7).unwrap().file.unwrap();
        fs::rename(dir.path("x.log"), dir.path("x.log.1")).unwrap();
        assert_eq!(look(&mut outsides), 1);
        assert!(outsides.get(7).unwrap().trouble().unwrap().contains("/x.log cannot be read"));
        dir.write("x.log", "two");
        assert_eq!(look(&mut outsides), 2);
        assert!(outsides.get(7).unwrap().trouble().is_none() && !outsides.holds(7, first));
        let last = outsides.get(7).unwrap().file.unwrap();
        outsides.remove(7, 1);
        outsides.forget(REMEMBERED);
        assert!(outsides.holds(7, last), "its last lines are read after its end");
        outsides.forget(REMEMBERED + 1);
        assert!(outsides.by_id.is_empty() && !outsides.holds(7, last));
    }

    #[test]
    fn a_log_that_hangs_is_left_alone_and_no_other() {
        let dir = Dir::new("outside-hangs");
        dir.write("x.log", "one");
        let mut outsides = outsides(ContainerLog::File("/x.log".into()), &dir.path(""));
        let watchdog = Watchdog::default();
        let (release, wait) = channel::<()>();
        let of_thread = watchdog.clone();
        let thread = thread::spawn(move || of_thread.step(&"/x.log".into(), NOWHERE, || wait.recv().is_ok()));
        while watchdog.give_up(Duration::ZERO).is_none() {
            thread::yield_now();
        }
        let next = watchdog.successor();
        outsides.look(&next, &mut |_, _, _| Ok(()));
        assert!(outsides.get(7).unwrap().trouble().unwrap().contains("its file system hangs"));
        outsides.by_id.values_mut().for_each(|outside| outside.place -= 1);
        outsides.look(&next, &mut |_, _, mount| {
            assert_ne!(mount, 0, "once it is open its mount is known");
            Ok(())
        });
        assert!(outsides.get(7).unwrap().trouble().is_none());
        release.send(()).unwrap();
        assert!(thread.join().unwrap());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let driver = outsides(ContainerLog::Driver("local".to_owned()), Path::new("/"));
        let said = driver.get(7).unwrap().trouble().unwrap();
        assert!(
            said.starts_with("the output of docker container web: is kept by the log driver `local`"),
            "{said}"
        );
        assert!(driver.get(8).is_none());
    }
}
