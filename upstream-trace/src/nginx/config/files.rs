//! The files of a configuration, as a process of nginx sees them: below its root, from where it was started.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use glob::{MatchOptions, Pattern};
use nix::fcntl::{OFlag, readlinkat};

use super::facts;
use super::syntax::{self, Directive, Stop};
use crate::host::{file_below, read_bounded, regular_file_below};

/// Bytes of all files together.
const MAX_BYTES: u64 = 16 << 20;
/// Files.
const MAX_FILES: usize = 2_000;
/// Directives that concern upstreams, of all files together.
const MAX_DIRECTIVES: usize = 100_000;
/// Files that include files.
const MAX_DEPTH: usize = 16;
/// Names in one directory.
const MAX_NAMES: usize = 10_000;

/// Symbolic links one behind another, as many as the kernel follows.
const MAX_LINKS: usize = 40;

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A descriptor that nginx was started with.
    Descriptor(u32),
    /// Whatever has this name, as the links of open descriptors name it.
    File(String),
}

/// Where the files are looked for.
#[derive(Debug)]
pub(super) struct Files {
    root: File,
    bytes: u64,
    count: usize,
    /// Directives that may still be kept.
    directives: usize,
    /// Youngest of the files that were read.
    pub(super) changed: Option<SystemTime>,
    /// The first thing that could not be read.
    pub(super) unread: Option<String>,
}

/// A directive and the file it stands in.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) directive: Directive,
    pub(super) file: Rc<str>,
    /// The directives of its block; of the directive itself the block was taken away.
    pub(super) block: Vec<Placed>,
}

impl Placed {
    /// File and line.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.directive.line)
    }
}

impl Files {
    /// Those that process `pid` sees.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let how = libc::O_PATH | libc::O_DIRECTORY;
        let root = File::options().read(true).custom_flags(how).open(format!("/proc/{pid}/root"))?;
        Ok(Self { root, bytes: 0, count: 0, directives: MAX_DIRECTIVES, changed: None, unread: None })
    }

    /// What a file and those that it includes say. Includes are relative to the folder of the main file.
    pub(super) fn read(&mut self, main: &Path) -> Vec<Placed> {
        let folder = main.parent().unwrap_or(Path::new("/")).to_owned();
        self.file(main, &folder, 0)
    }

    fn file(&mut self, path: &Path, folder: &Path, depth: usize) -> Vec<Placed> {
        let name = path.to_string_lossy();
        let text = match self.text(path) {
            Ok(text) => text,
            Err(error) => {
                self.cannot(format!("{name}: {error}"));
                return Vec::new();
            }
        };
        let (directives, stop) = syntax::parse(&text, facts::concerns, &mut self.directives);
        match stop {
            Some(Stop::Malformed(line)) => self.cannot(format!("{name}:{line}: malformed")),
            Some(Stop::TooMany) => self.cannot(format!("{name}: too many directives")),
            None => {}
        }
        self.expand(directives, &Rc::from(&*name), folder, depth)
    }

    /// Puts the directives of included files in the place of `include`.
    fn expand(
        &mut self,
        directives: Vec<Directive>,
        file: &Rc<str>,
        folder: &Path,
        depth: usize,
    ) -> Vec<Placed> {
        let mut placed = Vec::new();
        for mut directive in directives {
            if let ("include", Some(pattern), None) =
                (directive.name(), directive.argument(), &directive.block)
            {
                let pattern = folder.join(pattern);
                if depth >= MAX_DEPTH {
                    self.cannot(format!("{}: too many files include each other", pattern.display()));
                    continue;
                }
                for path in self.matching(&pattern) {
                    placed.extend(self.file(&path, folder, depth + 1));
                }
            } else {
                let block = directive.block.take().unwrap_or_default();
                let block = self.expand(block, file, folder, depth);
                placed.push(Placed { directive, file: file.clone(), block });
            }
        }
        placed
    }

    /// The text of a file. Nothing is opened that is no regular file of a file system for files.
    pub(super) fn text(&mut self, path: &Path) -> io::Result<String> {
        if self.count >= MAX_FILES {
            return Err(io::Error::other("too many files"));
        }
        let (file, metadata) = regular_file_below(&self.root, path)?;
        self.count += 1;
        let bytes =
            read_bounded(file, MAX_BYTES.saturating_sub(self.bytes)).map_err(|error| match error.kind() {
                ErrorKind::FileTooLarge => io::Error::other("the configuration is too large"),
                _ => error,
            })?;
        self.bytes += bytes.len() as u64;
        self.changed = self.changed.max(metadata.modified().ok());
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// The files that fit, in the order of their names, as glob(3) gives them. A name without a pattern need not exist
    /// for that; of a pattern, that nothing fits is no fault.
    fn matching(&mut self, pattern: &Path) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::from("/")];
        for component in pattern.components() {
            let Component::Normal(name) = component else {
                if component == Component::ParentDir {
                    for path in &mut found {
                        path.push("..");
                    }
                }
                continue;
            };
            let name = name.to_string_lossy();
            if !name.contains(['*', '?', '[']) {
                for path in &mut found {
                    path.push(&*name);
                }
                continue;
            }
            let Ok(pattern) = Pattern::new(&name) else {
                self.cannot(format!("include {name}: no such pattern"));
                return Vec::new();
            };
            found = found.iter().flat_map(|folder| self.names(folder, &pattern)).take(MAX_NAMES).collect();
        }
        found
    }

    fn names(&self, folder: &Path, pattern: &Pattern) -> Vec<PathBuf> {
        let Ok(directory) = file_below(&self.root, folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else {
            return Vec::new();
        };
        let Ok(entries) = std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd())) else {
            return Vec::new();
        };
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        let names = entries.flatten().take(MAX_NAMES).map(|entry| entry.file_name());
        let mut names: Vec<_> =
            names.filter(|name| pattern.matches_with(&name.to_string_lossy(), options)).collect();
        names.sort();
        names.into_iter().map(|name| folder.join(name)).collect()
    }

    /// Where nginx writes if it opens this path, absolute below its root. Nothing is opened for that.
    pub(super) fn place(&self, path: &Path) -> Place {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if let Some(number) = descriptor(&path) {
                return Place::Descriptor(number);
            }
            let Ok(handle) = file_below(&self.root, &path, OFlag::O_PATH | OFlag::O_NOFOLLOW) else { break };
            if let Ok(target) = readlinkat(&handle, "") {
                path = path.parent().unwrap_or(Path::new("/")).join(target);
            } else if let Ok(name) = std::fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd())) {
                path = name;
                break;
            }
        }
        Place::File(path.to_string_lossy().into_owned())
    }

    fn cannot(&mut self, what: String) {
        self.unread.get_or_insert(what);
    }
}

/// The descriptor that this path stands for, of those that nginx was started with.
fn descriptor(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        path => path.strip_prefix("/proc/self/fd/").or(path.strip_prefix("/dev/fd/"))?.parse().ok(),
    }
}

/// The directives of one file, without those that it includes.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn placed(directives: Vec<Directive>, file: &Rc<str>) -> Vec<Placed> {
    let one = |mut directive: Directive| {
        let block = placed(directive.block.take().unwrap_or_default(), file);
        Placed { directive, file: Rc::clone(file), block }
    };
    directives.into_iter().map(one).collect()
}
