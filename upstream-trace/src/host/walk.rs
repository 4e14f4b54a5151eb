//! What `openat2()` does with `RESOLVE_IN_ROOT`, where it may not be called: `RestrictSUIDSGID=` of systemd, which comes with
//! `DynamicUser=`, takes it away, and so do filters of older container runtimes.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

/// How many symbolic links the kernel follows.
const MAX_LINKS: usize = 40;

/// Opens `path` below the directory `root` step by step. No step leaves it, whoever moves or replaces what is on the way:
/// links are read, not followed, and `..` goes back to a directory that is held open.
///
/// # Errors
/// What the kernel says; `ELOOP` for too many links.
pub(super) fn file_below(root: &File, path: &Path, flags: OFlag) -> io::Result<File> {
    let mut left = components(path);
    let mut within: Vec<File> = Vec::new();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            within.pop();
            continue;
        }
        let folder = within.last().unwrap_or(root);
        let found = open(folder, &name, OFlag::O_PATH)?;
        let to_follow = !left.is_empty() || !flags.contains(OFlag::O_NOFOLLOW);
        if to_follow && found.metadata()?.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP.into());
            }
            let target = readlinkat(&found, "")?;
            if Path::new(&target).is_absolute() {
                within.clear();
            }
            let mut further = components(Path::new(&target));
            further.append(&mut left);
            left = further;
        } else if left.is_empty() {
            return open(folder, &name, flags);
        } else {
            within.push(found);
        }
    }
    let folder = within.last().unwrap_or(root);
    open(folder, OsStr::new("."), flags)
}

/// What is to be gone through: names, and `..`.
fn components(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    steps.collect()
}

fn open(folder: &File, name: &OsStr, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(folder, name, flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use nix::fcntl::{OpenHow, ResolveFlag, openat2};

    use super::*;

    #[test]
    fn it_finds_what_the_kernel_finds_and_fails_as_the_kernel_does() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        for file in ["file", "a/file", "a/b/file"] {
            fs::write(at(file), file).unwrap();
        }
        for (target, link) in [
            ("/file", "absolute"),
            ("b/file", "a/relative"),
            ("../../../../../../file", "a/b/up"),
            ("/a/b", "a/folder"),
            ("/a/relative", "twice"),
            ("loop", "loop"),
            ("nothing", "dangling"),
            ("/proc/self/root/etc", "magic"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let root = File::open(folder.path()).unwrap();
        let kernel = |path: &str, flags| {
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
            openat2(&root, path, how).map(|fd| File::from(fd).metadata().unwrap().ino())
        };
        for path in [
            "file",
            "/file",
            "a/file",
            "a/./b/../file",
            "../../file",
            "/",
            ".",
            "..",
            "a",
            "none",
            "none/file",
            "file/x",
            "absolute",
            "a/relative",
            "a/b/up",
            "a/folder",
            "a/folder/file",
            "a/folder/../file",
            "twice",
            "loop",
            "loop/file",
            "dangling",
            "magic",
            "magic/passwd",
        ] {
            for flags in
                [OFlag::O_PATH, OFlag::O_PATH | OFlag::O_NOFOLLOW, OFlag::O_DIRECTORY, OFlag::O_RDONLY]
            {
                let walked = file_below(&root, Path::new(path), flags);
                let walked = walked.map(|file| file.metadata().unwrap().ino());
                let walked = walked.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap()));
                assert_eq!(walked, kernel(path, flags), "{path} {flags:?}");
            }
        }
    }
}
