//! Opening files that others control: only regular files, on file systems for files, and nothing that could block or
//! that reading alone would change.
//!
//! To open a device may start it (a watchdog, a tape), to open a FIFO wakes its writer, and files of `/proc` and `/sys`
//! may do anything when they are read. So what is at a path is looked at first, by a handle without access, and only
//! what that turned out to be is opened: nothing can take its place between look and use.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::fstatfs;

use super::walk;

/// Magic numbers of file systems whose files are the kernel's own: `linux/magic.h`, and those of modules.
const KERNEL_FILE_SYSTEMS: [i128; 22] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0x1cd1,      // devpts
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x5a3c_69f0, // apparmorfs
    0x4341_5d53, // smackfs
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x6265_6570, // configfs
    0x6573_5543, // fusectl
    0x4249_4e4d, // binfmt_misc
    0x6e73_6673, // nsfs
    0x1980_0202, // mqueue
    0x0765_5821, // resctrl
    0x6c6f_6f70, // binderfs
    0xabba_1974, // xenfs
];

/// Opens the regular file at `path` for reading.
///
/// # Errors
/// If there is none, or what is there is no regular file (`InvalidInput`).
pub fn regular_file(path: &Path) -> io::Result<(File, Metadata)> {
    let handle = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    reopen(&handle)
}

/// Opens the regular file at `path` below the directory `root` for reading. Symbolic links, absolute ones too, stay
/// below it.
///
/// # Errors
/// As [`regular_file`].
pub fn regular_file_below(root: &File, path: &Path) -> io::Result<(File, Metadata)> {
    reopen(&file_below(root, path, OFlag::O_PATH)?)
}

/// Opens whatever is at `path` below the directory `root`: with `O_PATH`, a handle without access; with `O_DIRECTORY`,
/// a directory. Symbolic links, absolute ones too, stay below `root`.
///
/// # Errors
/// What the kernel says.
pub fn file_below(root: &File, path: &Path, flags: OFlag) -> io::Result<File> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match openat2(root, path, how) {
        // What a filter of system calls says: it cannot look into the arguments of this one.
        Err(Errno::ENOSYS | Errno::EPERM) => walk::file_below(root, path, flags),
        opened => opened.map(File::from).map_err(Errno::into),
    }
}

fn reopen(handle: &File) -> io::Result<(File, Metadata)> {
    let metadata = handle.metadata()?;
    if !metadata.is_file() {
        return Err(refused("not a regular file"));
    }
    let kind = fstatfs(handle)?.filesystem_type().0;
    // The kernel's numbers have 32 bits; the type of the C library differs, and may have a sign.
    if KERNEL_FILE_SYSTEMS.contains(&(i128::from(kind) & 0xffff_ffff)) {
        return Err(refused("a file of the kernel, not of a file system for files"));
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

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// All of a file, if it has no more than `most` bytes.
///
/// # Errors
/// If it cannot be read, or has more (`FileTooLarge`).
pub fn read_bounded(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("open-{name}-{}", std::process::id()));
            let _left_over = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn root(path: &str) -> File {
        OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path).unwrap()
    }

    #[test]
    fn only_regular_files_of_real_file_systems() {
        let folder = Folder::new("kinds");
        let fifo = folder.0.join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let paths = [&fifo, &folder.0, Path::new("/dev/null"), Path::new("/proc/self/stat")];
        let root = root("/");
        for path in paths {
            assert_eq!(regular_file(path).unwrap_err().kind(), ErrorKind::InvalidInput, "{}", path.display());
            let below = regular_file_below(&root, path).unwrap_err();
            assert_eq!(below.kind(), ErrorKind::InvalidInput, "{}", path.display());
        }
        assert_eq!(regular_file(&folder.0.join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn the_link_to_a_program_and_links_below_a_root() {
        assert!(regular_file(Path::new("/proc/self/exe")).is_ok());
        let folder = Folder::new("below");
        fs::write(folder.0.join("file"), "text").unwrap();
        symlink("/file", folder.0.join("link")).unwrap();
        let (file, _) = regular_file_below(&root(folder.0.to_str().unwrap()), Path::new("/link")).unwrap();
        assert_eq!(read_bounded(file.try_clone().unwrap(), 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let (file, _) = regular_file(&folder.0.join("file")).unwrap();
        assert_eq!(read_bounded(file, 4).unwrap(), b"text");
    }
}
