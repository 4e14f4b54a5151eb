//! The open files of processes, from `/proc/PID/fd`.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// An open file of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number in that process.
    pub fd: i32,
    /// What the link says: a path in the process's own mount namespace, `socket:[123]`, `pipe:[4]` and the like.
    pub link: String,
}

/// The open files of a process; those that it closes meanwhile are left out.
///
/// # Errors
/// If the process is gone, or may not be looked at.
pub fn descriptors(pid: u32) -> io::Result<impl Iterator<Item = Descriptor>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(entries.flatten().filter_map(|entry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        let link = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        Some(Descriptor { fd, link })
    }))
}

/// Inode and descriptor of each socket that a process holds; none if it may not be looked at.
#[must_use]
pub fn sockets(pid: u32) -> Vec<(u32, i32)> {
    let Ok(all) = descriptors(pid) else { return Vec::new() };
    all.filter_map(|descriptor| Some((socket_inode(&descriptor.link)?, descriptor.fd))).collect()
}

/// Those among the first `most` descriptors of a process, where its listeners are.
#[must_use]
pub fn first_sockets(pid: u32, most: usize) -> Vec<(u32, i32)> {
    let Ok(all) = descriptors(pid) else { return Vec::new() };
    all.take(most).filter_map(|descriptor| Some((socket_inode(&descriptor.link)?, descriptor.fd))).collect()
}

/// The inode in `socket:[123]`; never 0.
#[must_use]
pub fn socket_inode(link: &str) -> Option<u32> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok().filter(|inode| *inode != 0)
}

/// Whether the open files of a process may be looked at.
///
/// # Errors
/// If not, with what the kernel says; also if the process is gone.
pub fn may_look_at(pid: u32) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        match fs::read_link(entry?.path()) {
            // Closed since.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            link => return link.map(drop),
        }
    }
    // A process that may not be traced shows no descriptor.
    fs::read_link(format!("/proc/{pid}/ns/net")).map(drop)
}

/// Through this path the file behind a descriptor can be opened again, whatever its name is in whichever mount
/// namespace.
#[must_use]
pub fn descriptor_path(pid: u32, fd: i32) -> PathBuf {
    format!("/proc/{pid}/fd/{fd}").into()
}

/// The descriptor is known to be the socket with this inode.
#[must_use]
pub fn holds_socket(pid: u32, fd: i32, inode: u32) -> bool {
    let link = fs::read_link(descriptor_path(pid, fd)).ok();
    link.and_then(|link| socket_inode(link.to_str()?)) == Some(inode)
}

/// The descriptor may still be the socket with this inode (0: whatever it is): false only if it is known to be closed
/// or something else. Of a process that may not be looked at nothing is known.
#[must_use]
pub fn is_socket_open(pid: u32, fd: i32, inode: u64) -> bool {
    match fs::read_link(descriptor_path(pid, fd)) {
        Ok(link) => inode == 0 || link.to_str() == Some(&format!("socket:[{inode}]")),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_socket_of_this_process() {
        let (own, listener) = (std::process::id(), TcpListener::bind("127.0.0.1:0").unwrap());
        let fd = listener.as_raw_fd();
        let (inode, _) = sockets(own).into_iter().find(|(_, found)| *found == fd).unwrap();
        assert!(holds_socket(own, fd, inode) && !holds_socket(own, fd, inode + 1));
        assert!(is_socket_open(own, fd, inode.into()) && is_socket_open(own, fd, 0));
        assert!(!is_socket_open(own, fd, u64::from(inode) + 1) && !is_socket_open(own, i32::MAX, 0));
    }

    #[test]
    fn links() {
        assert_eq!(socket_inode("socket:[123]"), Some(123));
        for link in ["socket:[0]", "socket:[x]", "pipe:[123]", "socket:[123", ""] {
            assert_eq!(socket_inode(link), None, "{link}");
        }
        assert!(descriptors(u32::MAX).is_err() && sockets(u32::MAX).is_empty());
    }
}
