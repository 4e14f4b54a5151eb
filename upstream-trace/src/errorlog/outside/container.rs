//! Where the output of one container or unit goes, and how it is looked at.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use upstream_trace_core::event::Workload;

use super::super::file::FileId;
use super::super::find::mount;
use super::super::journal::{Journal, Of};
use super::super::watchdog::{Mount, Watchdog};
use crate::host::container::{Container, ContainerLog, Files};
use crate::host::workload;

/// The name of the journal among the files that are read.
const JOURNAL: &str = "journal";

/// Beyond the numbers of mounts.
pub(super) const NOWHERE: Mount = Mount::MAX;

/// What is known of the container or unit of a process.
#[derive(Debug)]
pub(in crate::errorlog) struct Outside {
    /// Its names, for a sentence; those of a unit as well.
    pub(in crate::errorlog) container: String,
    /// Where its output goes.
    pub(in crate::errorlog) log: ContainerLog,
    pub(super) files: Option<Files>,
    /// Stands for the mount of its log while that is not known: a number that no mount has, of its own.
    pub(super) place: Mount,
    /// The journal, once it is followed.
    pub(super) journal: Option<Journal>,
    /// Whose entries of it.
    pub(super) of: Of,
    /// From when on.
    pub(super) since: SystemTime,
    /// The file that it goes to now.
    pub(in crate::errorlog) file: Option<FileId>,
    /// Lines of its stdout, and of its stderr, may be those of an access log.
    pub(super) doubt: [bool; 2],
    /// Why that cannot be read.
    pub(in crate::errorlog) error: Option<String>,
}

impl Outside {
    pub(in crate::errorlog) fn new(container: String, log: ContainerLog, of: Of) -> Self {
        let since = SystemTime::now();
        Self {
            container,
            log,
            of,
            since,
            files: None,
            place: NOWHERE,
            journal: None,
            file: None,
            doubt: [false; 2],
            error: None,
        }
    }

    pub(super) fn of_container(pid: u32) -> Option<(Arc<str>, Self)> {
        let container = Container::of(pid)?;
        // The log driver is the runtime's, and runs as the same user.
        let uid = fs::metadata(format!("/proc/{}", container.monitor)).map_or(0, |metadata| metadata.uid());
        let of = Of::Container { id: container.id.clone(), uid };
        let key = key(&container);
        let outside = Self::new(container.named().to_string(), container.log, of);
        let place = NOWHERE - u64::from(container.monitor);
        Some((key, Self { files: Files::of(container.monitor), place, ..outside }))
    }

    /// What a unit writes to its stderr is in the journal.
    pub(super) fn of_unit(pid: u32) -> Option<(Arc<str>, Self)> {
        let Some(Workload::Unit(name)) = workload(pid) else { return None };
        let outside = Self::new(format!("unit {name}"), ContainerLog::Journal, Of::Unit(name.clone()));
        Some((name.into(), outside))
    }

    pub(super) fn look_at(
        &mut self,
        path: &Path,
        watchdog: &Watchdog,
        found: &mut dyn FnMut(&Path, &str, Mount) -> io::Result<()>,
    ) -> io::Result<FileId> {
        // It may be where nothing answers; as long as it was not opened, its mount is not known.
        let name: Arc<str> = path.to_string_lossy().into();
        if watchdog.hangs(self.place) {
            return Err(io::Error::other("its file system hangs"));
        }
        // Between a rename and the new file there is none for a moment.
        let (file, id) = watchdog.step(&name, self.place, || self.open(path))?;
        if self.file != Some(id) {
            let through = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()));
            found(&through, &name, mount(&info.unwrap_or_default()).unwrap_or_default())?;
        }
        Ok(id)
    }

    /// Follows the journal, once: if that fails it is not tried again.
    pub(super) fn look_at_journal(
        &mut self,
        found: &mut dyn FnMut(&Path, &str, Mount) -> io::Result<()>,
    ) -> io::Result<FileId> {
        if let Some(journal) = &mut self.journal {
            return journal.check().map(|()| journal.id);
        }
        if let Some(error) = self.error.take() {
            return Err(io::Error::other(error));
        }
        let mut journal = Journal::follow(&self.of, self.since)?;
        found(&journal.path(), JOURNAL, 0)?;
        journal.begin()?;
        let id = journal.id;
        self.journal = Some(journal);
        Ok(id)
    }

    fn open(&self, path: &Path) -> io::Result<(File, FileId)> {
        let files = self.files.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let file = files.open(path)?;
        let id = FileId::of(&file.metadata()?);
        Ok((file, id))
    }

    /// Why the lines cannot be read, and what to do about it; `None` if they can.
    pub(in crate::errorlog) fn trouble(&self) -> Option<String> {
        let what = match (&self.log, &self.error) {
            (ContainerLog::File(_), None) => return None,
            (ContainerLog::Journal, None) if self.file.is_some() => return None,
            (ContainerLog::Journal, Some(error)) => {
                format!("goes to the journal, which cannot be read ({error})")
            }
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

/// By what a container is known here: two that claim the same id are still two.
fn key(container: &Container) -> Arc<str> {
    format!("{} {}", container.id, container.monitor).into()
}

#[cfg(test)]
mod tests {
    use upstream_trace_core::event::Runtime;

    use super::*;

    #[test]
    fn a_container_that_claims_the_id_of_another_is_not_that_one() {
        let container = |monitor| Container {
            runtime: Runtime::Podman,
            id: "0123".to_owned(),
            name: None,
            image: None,
            pod: None,
            log: ContainerLog::Unknown,
            monitor,
        };
        assert_ne!(key(&container(7)), key(&container(8)));
        assert_eq!(key(&container(7)), key(&container(7)));
    }
}
