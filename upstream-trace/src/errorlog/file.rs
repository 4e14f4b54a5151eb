//! Which file a log is.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
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

#[cfg(test)]
mod tests {
    use super::super::tests::Dir;
    use super::*;
    use crate::host::regular_file as open;

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
