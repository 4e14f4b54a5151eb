//! Where the lines of a process go that writes them to a pipe or a socket: to a file of the runtime of its container, as
//! a rule. Found without asking the runtime; looked at again and again, since the runtime begins another file when it
//! rotates.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::FileId;
use crate::host::container::{Container, ContainerLog, Files};
use crate::host::stat;

/// What is known of the container of a process.
#[derive(Debug)]
pub(super) struct Outside {
    /// Its names, for a sentence.
    pub(super) container: String,
    /// Where its output goes.
    pub(super) log: ContainerLog,
    files: Option<Files>,
    /// The file that it goes to now.
    pub(super) file: Option<FileId>,
    /// Why that cannot be read.
    pub(super) error: Option<String>,
}

/// The containers of processes that write to a pipe or a socket.
#[derive(Debug, Default)]
pub(super) struct Outsides {
    by_pid: BTreeMap<u32, Option<Arc<str>>>,
    by_id: BTreeMap<Arc<str>, Outside>,
}

impl Outsides {
    /// A process writes to a pipe or a socket: its container is looked for, once. True if the process is new.
    pub(super) fn add(&mut self, pid: u32) -> bool {
        if self.by_pid.contains_key(&pid) {
            return false;
        }
        // A worker runs where its master does.
        let of_parent = stat(pid).and_then(|stat| self.by_pid.get(&stat.parent)?.clone());
        let id = of_parent.or_else(|| {
            let container = Container::of(pid)?;
            let id: Arc<str> = container.id.as_str().into();
            self.by_id.entry(Arc::clone(&id)).or_insert_with(|| Outside {
                container: container.named().to_string(),
                files: Files::of(container.monitor),
                log: container.log,
                file: None,
                error: None,
            });
            Some(id)
        });
        self.by_pid.insert(pid, id);
        true
    }

    /// A process is gone.
    pub(super) fn remove(&mut self, pid: u32) {
        self.by_pid.remove(&pid);
        self.by_id.retain(|id, _| self.by_pid.values().flatten().any(|used| used == id));
    }

    /// The container of a process.
    pub(super) fn get(&self, pid: u32) -> Option<&Outside> {
        self.by_id.get(self.by_pid.get(&pid)?.as_ref()?)
    }

    /// The output of a process goes to this file.
    pub(super) fn holds(&self, pid: u32, id: FileId) -> bool {
        self.get(pid).is_some_and(|outside| outside.file == Some(id))
    }

    /// Some container's output goes to this file.
    pub(super) fn anyone_holds(&self, id: FileId) -> bool {
        self.by_id.values().any(|outside| outside.file == Some(id))
    }

    /// Looks at the files that are written to now. `found` gets the path of each that is new, and its name.
    /// True if anything changed.
    pub(super) fn look(&mut self, found: &mut dyn FnMut(&Path, &str, FileId) -> io::Result<()>) -> bool {
        let mut changed = false;
        for outside in self.by_id.values_mut() {
            let ContainerLog::File(path) = outside.log.clone() else { continue };
            // Between a rename and the new file there is none for a moment.
            let looked = outside.open(&path).and_then(|(file, id)| {
                if outside.file != Some(id) {
                    let through = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
                    found(&through, &path.to_string_lossy(), id)?;
                }
                Ok(id)
            });
            let before = (outside.file, outside.error.take());
            match looked {
                Ok(id) => outside.file = Some(id),
                Err(error) => outside.error = Some(error.to_string()),
            }
            changed |= before.0 != outside.file || before.1 != outside.error;
        }
        changed
    }
}

impl Outside {
    fn open(&self, path: &Path) -> io::Result<(File, FileId)> {
        let files = self.files.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let file = files.open(path)?;
        let id = FileId::of(&file.metadata()?);
        Ok((file, id))
    }

    /// Why the lines cannot be read, and what to do about it; `None` if they can.
    pub(super) fn trouble(&self) -> Option<String> {
        let what = match (&self.log, &self.error) {
            (ContainerLog::File(_), None) => return None,
            (ContainerLog::File(path), Some(error)) => format!("{} cannot be read ({error})", path.display()),
            (ContainerLog::Journal, _) => "goes to the journal".to_owned(),
            (ContainerLog::Driver(driver), _) => {
                format!("is kept by the log driver `{driver}`, which has no file that can be read")
            }
            (ContainerLog::Unknown, _) => "goes where this program does not find it".to_owned(),
        };
        Some(format!("the output of {}: {what}", self.container))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Dir;
    use super::*;

    fn outsides(log: ContainerLog, root: &Path) -> Outsides {
        let id: Arc<str> = "id".into();
        let files = Files::below(root);
        let outside =
            Outside { container: "docker container web".to_owned(), log, files, file: None, error: None };
        Outsides { by_pid: [(7, Some(Arc::clone(&id)))].into(), by_id: [(id, outside)].into() }
    }

    #[test]
    fn a_file_is_found_again_after_a_rotation() {
        let dir = Dir::new("outside");
        dir.write("x.log", "one");
        let mut outsides = outsides(ContainerLog::File("/x.log".into()), &dir.path(""));
        let mut count = 0;
        let mut look = |outsides: &mut Outsides| {
            outsides.look(&mut |path, name, _| {
                assert!(path.exists() && name == "/x.log");
                count += 1;
                Ok(())
            });
            count
        };
        assert_eq!((look(&mut outsides), look(&mut outsides)), (1, 1));
        let first = outsides.get(7).unwrap().file.unwrap();
        std::fs::rename(dir.path("x.log"), dir.path("x.log.1")).unwrap();
        assert_eq!(look(&mut outsides), 1);
        assert!(outsides.get(7).unwrap().trouble().unwrap().contains("/x.log cannot be read"));
        dir.write("x.log", "two");
        assert_eq!(look(&mut outsides), 2);
        assert!(outsides.get(7).unwrap().trouble().is_none() && !outsides.holds(7, first));
        outsides.remove(7);
        assert!(outsides.by_id.is_empty());
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
