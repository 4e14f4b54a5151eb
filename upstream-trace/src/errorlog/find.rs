//! The files that a process of nginx has open for writing logs.

use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::file::FileId;
use super::watchdog::{Mount, Watchdog};
use crate::host::{Descriptor, descriptor_path, descriptors};

const STDERR: RawFd = 2;

/// Files of one process that are looked at.
const MAX_FILES: usize = 4096;

/// A regular file that a process appends to, or has as its stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) fd: RawFd,
    pub(super) id: FileId,
    /// Its name in the process's own mount namespace.
    pub(super) name: Arc<str>,
    pub(super) stderr: bool,
    /// Where it is mounted.
    pub(super) mount: Mount,
}

/// Where else lines may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Elsewhere {
    /// Nothing of the kind is open.
    #[default]
    Nowhere,
    /// `/dev/null`.
    Null,
    /// A terminal.
    Terminal,
    /// A socket, such as that of the journal.
    Socket,
    /// A pipe, as in most containers.
    Pipe,
}

/// What a process has open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) files: Vec<Open>,
    pub(super) elsewhere: Elsewhere,
    /// There are more files than were looked at.
    pub(super) too_many: bool,
    /// One on a file system that does not answer; it may be an error.log.
    pub(super) hanging: Option<Arc<str>>,
}

/// Looks through the descriptors of a process.
pub(super) fn scan(pid: u32, watchdog: &Watchdog) -> io::Result<Scan> {
    let mut scan = Scan::default();
    for Descriptor { fd, link } in descriptors(pid)? {
        let file = link.starts_with('/') && !link.starts_with("/dev/");
        if !file {
            let other = elsewhere(&link);
            // A worker has many sockets; only its stderr says something.
            if other > scan.elsewhere && (fd == STDERR || other == Elsewhere::Pipe && log(pid, fd).is_some())
            {
                scan.elsewhere = other;
            }
        }
        if (file || link.starts_with("/dev/shm/"))
            && let Some(mount) = log(pid, fd)
        {
            let name: Arc<str> = link.strip_suffix(" (deleted)").unwrap_or(&link).into();
            scan.too_many |= scan.files.len() >= MAX_FILES;
            if watchdog.hangs(mount) {
                scan.hanging = Some(name);
            } else if !scan.too_many {
                scan.files.extend(watchdog.step(&name, mount, || regular(pid, fd, &name, mount)));
            }
        }
    }
    scan.files.sort_by_key(|open| open.fd);
    Ok(scan)
}

/// Which file this is, if it is a regular one.
fn regular(pid: u32, fd: RawFd, name: &Arc<str>, mount: Mount) -> Option<Open> {
    let metadata = fs::metadata(descriptor_path(pid, fd)).ok().filter(fs::Metadata::is_file)?;
    Some(Open { fd, id: FileId::of(&metadata), name: Arc::clone(name), stderr: fd == STDERR, mount })
}

/// The descriptor still is that file; also if that cannot be told because its file system does not answer.
pub(super) fn is_still(pid: u32, open: &Open, watchdog: &Watchdog) -> bool {
    let path = descriptor_path(pid, open.fd);
    let same = || fs::metadata(path).is_ok_and(|metadata| FileId::of(&metadata) == open.id);
    watchdog.hangs(open.mount) || watchdog.step(&open.name, open.mount, same)
}

/// Where it is mounted, if it is open for appending; of stderr, for writing. The file itself is not touched.
fn log(pid: u32, fd: RawFd) -> Option<Mount> {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = flags(&info)?;
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
    (writes && (flags & libc::O_APPEND != 0 || fd == STDERR)).then(|| mount(&info).unwrap_or_default())
}

/// Where a file is mounted, in `/proc/PID/fdinfo`.
pub(super) fn mount(info: &str) -> Option<Mount> {
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

fn flags(info: &str) -> Option<i32> {
    let octal = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    i32::from_str_radix(octal.trim(), 8).ok()
}

fn elsewhere(link: &str) -> Elsewhere {
    if link.starts_with("pipe:") {
        Elsewhere::Pipe
    } else if link.starts_with("socket:") {
        Elsewhere::Socket
    } else if link == "/dev/null" {
        Elsewhere::Null
    } else if ["/dev/pts/", "/dev/tty", "/dev/console"].iter().any(|prefix| link.starts_with(prefix)) {
        Elsewhere::Terminal
    } else {
        Elsewhere::Nowhere
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::process;

    use super::super::tests::Dir;
    use super::*;

    #[test]
    fn files_open_for_appending() {
        let dir = Dir::new("scan");
        let mut options = fs::OpenOptions::new();
        let append = options.append(true).create(true).open(dir.path("appended")).unwrap();
        let write = fs::File::create(dir.path("written")).unwrap();
        let read = fs::File::open(dir.path("appended")).unwrap();
        let watchdog = Watchdog::default();
        let scan = scan(process::id(), &watchdog).unwrap();
        let of = |file: &fs::File| scan.files.iter().find(|open| open.fd == file.as_raw_fd());
        let found = of(&append).unwrap();
        assert_eq!(found.id, FileId::of(&append.metadata().unwrap()));
        assert!(found.name.ends_with("/appended") && !found.stderr && found.mount > 0);
        assert!(is_still(process::id(), found, &watchdog));
        assert_eq!((of(&write), of(&read)), (None, None));
        let found = found.clone();
        fs::remove_file(dir.path("appended")).unwrap();
        assert!(is_still(process::id(), &found, &watchdog), "a deleted file is still that file");
    }

    #[test]
    fn a_process_that_is_gone() {
        assert!(scan(u32::MAX, &Watchdog::default()).is_err());
    }

    #[test]
    fn flags_and_links() {
        let info = "pos:\t0\nflags:\t0102001\nmnt_id:\t29\n";
        assert_eq!((flags(info), mount(info)), (Some(0o102_001), Some(29)));
        assert_eq!(flags("pos:\t0\nflags:\tx\n"), None);
        assert_eq!(flags(""), None);
        let links = ["pipe:[1]", "socket:[2]", "/dev/null", "/dev/pts/0", "anon_inode:[eventpoll]", "/x"];
        assert_eq!(
            links.map(elsewhere),
            [
                Elsewhere::Pipe,
                Elsewhere::Socket,
                Elsewhere::Null,
                Elsewhere::Terminal,
                Elsewhere::Nowhere,
                Elsewhere::Nowhere
            ]
        );
    }
}
