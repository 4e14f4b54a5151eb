//! The journal as a log: `journalctl --follow`, run as a child with fixed arguments, for one container or unit.
//!
//! The journal's files are compressed in several ways and change with systemd; `journalctl` of the same host reads them
//! all, and comes with the journal. What it prints is kept in memory that is read like any other file of a runtime, and
//! freed once it was read. It ends when nobody reads its output any more, so also when this program is killed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::file::FileId;

/// Where the program is.
const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];
/// From now on, an object a line, with nothing left out of it for its length.
const ARGUMENTS: [&str; 8] =
    ["--follow", "--lines=0", "--output=json", "--all", "--quiet", "--no-pager", "--utc", FIELDS];
/// What is asked for of each entry.
const FIELDS: &str = "--output-fields=MESSAGE,PRIORITY,_PID,_SYSTEMD_UNIT,_SOURCE_REALTIME_TIMESTAMP,\
                      CONTAINER_ID_FULL,CONTAINER_PARTIAL_MESSAGE";
/// Most that is kept unread, in blocks of 512 bytes: then the program waits.
const MOST: u64 = (32 << 20) / 512;
/// Between two looks at whether there is room again.
const LOOK: Duration = Duration::from_millis(50);

/// Whose entries of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Those of a container.
    Container {
        /// Its full id.
        id: String,
        /// Who its runtime runs as: anybody may write such an entry.
        uid: u32,
    },
    /// Those of this unit of systemd.
    Unit(String),
}

/// A journal that is followed; the program ends on drop.
#[derive(Debug)]
pub(super) struct Journal {
    child: Child,
    kept: File,
    /// The memory that its output is kept in.
    pub(super) id: FileId,
}

impl Of {
    /// The entries that are meant. Whatever stands in a field, it is no option.
    fn wanted(&self) -> Vec<String> {
        match self {
            Self::Container { id, uid } => vec![format!("_UID={uid}"), format!("CONTAINER_ID_FULL={id}")],
            Self::Unit(name) => vec![format!("_SYSTEMD_UNIT={name}")],
        }
    }
}

impl Journal {
    /// Follows it from now on.
    ///
    /// # Errors
    /// If the program is not there or does not start.
    pub(super) fn follow(of: &Of) -> io::Result<Self> {
        let program = PROGRAMS.iter().map(Path::new).find(|path| path.is_file());
        let program = program.ok_or_else(|| io::Error::other("journalctl is not installed"))?;
        Self::run(program, of)
    }

    fn run(program: &Path, of: &Of) -> io::Result<Self> {
        let kept = File::from(memfd_create(c"journal", MFdFlags::MFD_CLOEXEC)?);
        let id = FileId::of(&kept.metadata()?);
        let mut child = Command::new(program)
            .args(ARGUMENTS)
            .args(of.wanted())
            .env_clear()
            .current_dir("/")
            // A Ctrl-C is not for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take();
        let journal = Self { child, kept, id };
        let to = journal.kept.try_clone()?;
        let output = output.ok_or(io::ErrorKind::BrokenPipe)?;
        thread::Builder::new().name("journal".to_owned()).spawn(move || copy(output, to))?;
        Ok(journal)
    }

    /// A path by which this process opens what is kept.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.kept.as_raw_fd()))
    }

    /// The program still runs.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!("journalctl ended with {status}"))),
        }
    }

    /// All before this offset was read: its memory is given back.
    pub(super) fn forget(&self, read: u64) {
        if let Ok(length @ 1..) = i64::try_from(read) {
            let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            // Memory that cannot be given back makes the program wait at its bound.
            let _bounded = fallocate(&self.kept, how, 0, length);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _already_ended = self.child.wait();
    }
}

/// Until the program ends, or what it printed cannot be kept.
fn copy(mut output: ChildStdout, mut kept: File) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        while kept.metadata().is_ok_and(|metadata| metadata.blocks() > MOST) {
            thread::sleep(LOOK);
        }
        match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) if kept.write_all(&buffer[..length]).is_err() => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, read_to_string, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use super::super::tests::Dir;
    use super::*;

    /// In the place of journalctl.
    fn program(dir: &Dir, script: &str) -> PathBuf {
        dir.write("journalctl", &format!("#!/bin/sh\n{script}\n"));
        set_permissions(dir.path("journalctl"), Permissions::from_mode(0o755)).unwrap();
        dir.path("journalctl")
    }

    fn eventually(what: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if what() {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn what_is_printed_is_kept_and_given_back() {
        let dir = Dir::new("journal");
        let program = program(&dir, "for word; do :; done; echo \"$word\"; exec sleep 60");
        let journal = Journal::run(&program, &Of::Unit("nginx.service".to_owned())).unwrap();
        let kept = || read_to_string(journal.path()).unwrap();
        assert!(eventually(|| kept() == "_SYSTEMD_UNIT=nginx.service\n"), "{}", kept());
        assert!(FileId::of(&std::fs::metadata(journal.path()).unwrap()) == journal.id);
        journal.forget(3);
        assert!(kept().starts_with("\0\0\0STEMD") && kept().len() == 28, "{:?}", kept());
        let pid = journal.child.id();
        drop(journal);
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it ends with its reader");
    }

    #[test]
    fn a_program_that_ends_or_is_not_there_is_an_error() {
        let dir = Dir::new("journal-ends");
        let of = Of::Container { id: "0123".to_owned(), uid: 7 };
        let mut journal = Journal::run(&program(&dir, "exit 3"), &of).unwrap();
        while journal.check().is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(journal.check().unwrap_err().to_string().contains('3'));
        assert!(Journal::run(&dir.path("missing"), &of).is_err());
        assert_eq!(of.wanted(), ["_UID=7", "CONTAINER_ID_FULL=0123"]);
    }
}
