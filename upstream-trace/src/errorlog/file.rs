//! Opening a log without disturbing anything: regular files only, nothing that could block.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

/// Which file it is. Inode numbers are used again soon after a file was deleted; its time of birth tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl FileId {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino(), born: file.created().ok() }
    }

    /// When the file was made, where the file system keeps that.
    pub(super) fn born(&self) -> Option<SystemTime> {
        self.born
    }
}

/// Opens a regular file for reading. What is at `path` cannot turn into something else between look and use: it is
/// opened without access first, and only what that turned out to be is opened again.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let handle = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    let metadata = handle.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let same = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let with = |flags| {
        let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY;
        OpenOptions::new().read(true).custom_flags(flags).open(&same)
    };
    // Without the owner's rights the time of the last access cannot be left alone.
    let file = with(libc::O_NOATIME).or_else(|_| with(0))?;
    Ok((file, metadata))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::super::tests::Dir;
    use super::*;

    #[test]
    fn only_regular_files() {
        let dir = Dir::new("regular");
        let fifo = dir.path("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [fifo.as_path(), dir.path("").as_path(), Path::new("/dev/null")] {
            assert_eq!(open(path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{}", path.display());
        }
        assert_eq!(open(&dir.path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_name_that_means_another_file() {
        let dir = Dir::new("identity");
        let path = dir.path("error.log");
        dir.write("error.log", "x");
        let (file, before) = open(&path).unwrap();
        std::fs::rename(&path, dir.path("error.log.1")).unwrap();
        dir.write("error.log", "y");
        let (_, after) = open(&path).unwrap();
        assert_ne!(FileId::of(&before), FileId::of(&after));
        assert_eq!(FileId::of(&before), FileId::of(&file.metadata().unwrap()));
    }
}
