//! What is at the path of a unix socket, as nginx sees the file system.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};
use upstream_trace_core::event::UnixTarget;

use crate::host::file_below;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketFile {
    pub(super) target: UnixTarget,
    /// Device and inode number as `unix_diag` tells them.
    pub(super) id: Option<(u32, u32)>,
}

/// Looks at a path in the mount namespace of process `pid`. `None` for abstract names, for paths that are not known
/// exactly, and if the process is gone.
pub(super) fn look(pid: u32, path: &str) -> Option<SocketFile> {
    if path.is_empty() || path.starts_with('@') || path.contains(['\0', '\u{fffd}']) {
        return None;
    }
    let root = directory(&format!("/proc/{pid}/root")).ok()?;
    let full = if path.starts_with('/') {
        PathBuf::from(path)
    } else {
        // The link's text is relative to the root of that process unless it was moved out of it.
        std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?.join(path)
    };
    Some(look_below(&root, &full))
}

fn directory(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path)
}

/// Symbolic links, absolute ones too, stay below `root`, as they do for nginx. Nothing is opened but the name.
fn look_below(root: &File, path: &Path) -> SocketFile {
    let is = |target| SocketFile { target, id: None };
    let metadata = match file_below(root, path, OFlag::O_PATH).and_then(|file| file.metadata()) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return is(UnixTarget::Missing);
        }
        Err(_) => return is(UnixTarget::Unreadable),
    };
    if !metadata.file_type().is_socket() {
        return is(UnixTarget::NotASocket);
    }
    // The kernel tells 32 bits of the inode number, and the device in its own encoding: 12 bits of major number, 20
    // bits of minor number.
    let device = u32::try_from(major(metadata.dev()) << 20 | minor(metadata.dev()) & 0xf_ffff).ok();
    let id = device.map(|device| (device, metadata.ino() as u32));
    SocketFile { target: UnixTarget::Socket, id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("unix-path-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn tells_what_is_there() {
        let scratch = Directory::new("kinds");
        let at = |name: &str| scratch.0.join(name).to_str().unwrap().to_owned();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        symlink(at("socket"), at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let target = |path: &str| look(std::process::id(), path).map(|file| file.target);
        assert_eq!(target(&at("socket")), Some(UnixTarget::Socket));
        assert_eq!(target(&at("link")), Some(UnixTarget::Socket));
        assert_eq!(target(&at("file")), Some(UnixTarget::NotASocket));
        assert_eq!(target(&at("dangling")), Some(UnixTarget::Missing));
        assert_eq!(target(&at("missing")), Some(UnixTarget::Missing));
        assert_eq!(target(&at("file/below")), Some(UnixTarget::Missing));
        assert_eq!(target("@abstract"), None);
        assert_eq!(target("/not/\u{fffd}/known"), None);
        assert_eq!(look(u32::MAX, "/"), None);
    }

    #[test]
    fn links_stay_below_the_root() {
        let scratch = Directory::new("root");
        std::fs::create_dir(scratch.0.join("inner")).unwrap();
        let _inside = UnixListener::bind(scratch.0.join("inner/s")).unwrap();
        symlink("/inner/s", scratch.0.join("absolute")).unwrap();
        symlink("../../../../../inner/s", scratch.0.join("climbing")).unwrap();
        let root = directory(scratch.0.to_str().unwrap()).unwrap();
        assert_eq!(look_below(&root, Path::new("/absolute")).target, UnixTarget::Socket);
        assert_eq!(look_below(&root, Path::new("/climbing")).target, UnixTarget::Socket);
    }
}
