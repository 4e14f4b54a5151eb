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
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::file::FileId;

/// Where the program is.
const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];
/// An object a line, with nothing left out of it for its length.
const ARGUMENTS: [&str; 7] =
    ["--no-tail", "--output=json", "--all", "--quiet", "--no-pager", "--utc", FIELDS];
/// What is asked for of each entry.
const FIELDS: &str = "--output-fields=MESSAGE,PRIORITY,_PID,_SYSTEMD_UNIT,_SOURCE_REALTIME_TIMESTAMP,\
                      CONTAINER_ID_FULL,CONTAINER_PARTIAL_MESSAGE,_TRANSPORT,N_DROPPED";
/// The journal itself says that it left entries out (`SD_MESSAGE_JOURNAL_DROPPED`); nobody else has this transport.
const DROPPED: [&str; 2] = ["_TRANSPORT=driver", "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e"];
/// Those that write what a container prints, whose entries are counted for its log.
const RUNTIMES: [&str; 2] = ["dockerd", "conmon"];
/// The priority of warnings; what matters more has a smaller one.
const WARNING: u8 = 4;
/// What comes before the place of an entry; a text cannot hold it, since its quotes would be escaped.
const CURSOR: &str = "\"__CURSOR\":\"";
/// Of a line that much is looked at for it, bytes.
const MAX_CURSOR: usize = 1_024;
/// Most that is kept unread, in blocks of 512 bytes: then the program waits.
const MOST: u64 = (32 << 20) / 512;
/// Between two looks at whether there is room again.
const LOOK: Duration = Duration::from_millis(50);
/// What came with the last entries is read to this size, bytes.
const LAST: u64 = 4 << 20;
/// What the program had printed when it was ended is read within this time.
const PATIENCE: Duration = Duration::from_millis(200);

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
    /// What processes of this name sent by syslog, but what is less than a warning: access logs above all.
    Syslog(String),
}

/// A journal that is followed; the program ends on drop.
#[derive(Debug)]
pub(super) struct Journal {
    child: Child,
    output: Option<ChildStdout>,
    copier: Option<JoinHandle<Tail>>,
    program: PathBuf,
    of: Of,
    since: SystemTime,
    /// The program was ended because nothing is followed any more.
    finished: bool,
    kept: File,
    /// The memory that its output is kept in.
    pub(super) id: FileId,
}

impl Of {
    /// The entries that are meant, and those that say how many of them were left out. Whatever stands in a field, it is no
    /// option.
    fn wanted(&self) -> Vec<String> {
        let of: Vec<String> = match self {
            Self::Container { .. } => RUNTIMES.map(|name| format!("OBJECT_COMM={name}")).into(),
            Self::Unit(name) => vec![format!("OBJECT_SYSTEMD_UNIT={name}")],
            Self::Syslog(name) => vec![format!("OBJECT_COMM={name}")],
        };
        let dropped = DROPPED.into_iter().map(str::to_owned).chain(of);
        self.entries().into_iter().chain(["+".to_owned()]).chain(dropped).collect()
    }

    fn entries(&self) -> Vec<String> {
        match self {
            Self::Container { id, uid } => vec![format!("_UID={uid}"), format!("CONTAINER_ID_FULL={id}")],
            Self::Unit(name) => vec![format!("_SYSTEMD_UNIT={name}")],
            Self::Syslog(name) => {
                let mut wanted = vec!["_TRANSPORT=syslog".to_owned(), format!("_COMM={name}")];
                wanted.extend((0..=WARNING).map(|priority| format!("PRIORITY={priority}")));
                wanted
            }
        }
    }
}

impl Journal {
    /// Follows it, with what was entered since this time.
    ///
    /// # Errors
    /// If the program is not there or does not start.
    pub(super) fn follow(of: &Of, since: SystemTime) -> io::Result<Self> {
        let program = PROGRAMS.iter().map(Path::new).find(|path| path.is_file());
        let program = program.ok_or_else(|| io::Error::other("journalctl is not installed"))?;
        Self::run(program, of, since)
    }

    fn run(program: &Path, of: &Of, since: SystemTime) -> io::Result<Self> {
        let kept = File::from(memfd_create(c"journal", MFdFlags::MFD_CLOEXEC)?);
        let id = FileId::of(&kept.metadata()?);
        let mut child = command(program, of, &["--follow", &from(since)]).spawn()?;
        let output = child.stdout.take();
        let (program, of) = (program.to_owned(), of.clone());
        Ok(Self { child, output, copier: None, program, of, since, finished: false, kept, id })
    }

    /// Begins to keep what the program prints: nothing is kept before somebody reads it from its beginning.
    ///
    /// # Errors
    /// If no thread can be started for it.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let Some(output) = self.output.take() else { return Ok(()) };
        let to = self.kept.try_clone()?;
        let copier = thread::Builder::new().name("journal".to_owned()).spawn(move || copy(output, to))?;
        self.copier = Some(copier);
        Ok(())
    }

    /// At the end: reads what the program does not know yet, since the journal tells it of an entry a quarter of a second
    /// after that came. It follows nothing any more.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(copier) = self.copier.take() else { return Ok(()) };
        // What was read until now is still to be handed on.
        self.finished = true;
        let _already_ended = self.child.kill();
        let begun = Instant::now();
        while !copier.is_finished() {
            if begun.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let tail = copier.join().unwrap_or_default();
        if tail.begun {
            self.kept.write_all(b"\n")?;
        }
        let after = tail.cursor.map_or_else(|| from(self.since), |cursor| format!("--after-cursor={cursor}"));
        let mut last = command(&self.program, &self.of, &[&after]).spawn()?;
        if let Some(output) = last.stdout.take() {
            copy(output.take(LAST), self.kept.try_clone()?);
        }
        let _already_ended = last.kill();
        last.wait().map(drop)
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
            _ if self.finished => Ok(()),
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

/// The option for entries since this time.
fn from(since: SystemTime) -> String {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("--since=@{}.{:06}", since.as_secs(), since.subsec_micros())
}

/// The program, whatever it is to do with these entries.
fn command(program: &Path, of: &Of, how: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(ARGUMENTS).args(how).args(of.wanted()).env_clear().current_dir("/");
    // A Ctrl-C is not for it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// How what was printed ends.
#[derive(Debug, Default)]
struct Tail {
    /// The place of the last whole line in the journal.
    cursor: Option<String>,
    /// A line was begun after it.
    begun: bool,
}

/// Until the program ends, or what it printed cannot be kept.
fn copy(mut output: impl Read, mut kept: File) -> Tail {
    let mut buffer = vec![0; 64 << 10];
    let mut line = Vec::new();
    let mut tail = Tail::default();
    loop {
        while kept.metadata().is_ok_and(|metadata| metadata.blocks() > MOST) {
            thread::sleep(LOOK);
        }
        let read = match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => &buffer[..length],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if kept.write_all(read).is_err() {
            break;
        }
        for part in read.split_inclusive(|byte| *byte == b'\n') {
            // The cursor is the first field.
            line.extend_from_slice(&part[..part.len().min(MAX_CURSOR.saturating_sub(line.len()))]);
            tail.begun = !part.ends_with(b"\n");
            if !tail.begun {
                tail.cursor = cursor(&line).or(tail.cursor);
                line.clear();
            }
        }
    }
    tail
}

/// The place of an entry in the journal.
fn cursor(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let (_, rest) = line.split_once(CURSOR)?;
    Some(rest.split_once('"')?.0.to_owned())
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
        let program =
            program(&dir, "for word; do case $word in _SYSTEMD*) echo \"$word\"; esac; done; exec sleep 60");
        let of = Of::Unit("nginx.service".to_owned());
        let mut journal = Journal::run(&program, &of, SystemTime::now()).unwrap();
        journal.begin().unwrap();
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
    fn what_was_entered_before_the_program_runs_is_asked_for() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_906_525_000_042);
        assert_eq!(from(time), "--since=@1795906525.000042");
        let dir = Dir::new("journal-since");
        let program = program(&dir, "for word; do case $word in --since*) echo \"$word\"; esac; done");
        let of = Of::Unit("nginx.service".to_owned());
        let mut journal = Journal::run(&program, &of, time).unwrap();
        while journal.check().is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
        let path = journal.path();
        let kept = || read_to_string(&path).unwrap();
        assert_eq!(kept(), "", "nothing before somebody reads");
        journal.begin().unwrap();
        assert!(eventually(|| kept() == "--since=@1795906525.000042\n"), "{}", kept());
    }

    #[test]
    fn what_came_last_is_asked_for_at_the_end() {
        let dir = Dir::new("journal-last");
        let script = "case \"$*\" in *--follow*) echo '{\"__CURSOR\":\"s=1;i=2\",\"x\":1}'; printf '{\"__CUR'; exec sleep 60;; \
                      esac; for word; do case $word in --after*) echo \"$word\"; esac; done";
        let of = Of::Unit("nginx.service".to_owned());
        let mut journal = Journal::run(&program(&dir, script), &of, SystemTime::now()).unwrap();
        journal.begin().unwrap();
        let kept = |journal: &Journal| read_to_string(journal.path()).unwrap();
        assert!(eventually(|| kept(&journal).ends_with("{\"__CUR")), "{}", kept(&journal));
        journal.finish().unwrap();
        let whole = kept(&journal);
        assert!(whole.ends_with("\"x\":1}\n{\"__CUR\n--after-cursor=s=1;i=2\n"), "{whole}");
        assert!(journal.finish().is_ok() && kept(&journal) == whole, "once");
        assert!(journal.check().is_ok(), "what it has is still read");
    }

    #[test]
    fn a_program_that_ends_or_is_not_there_is_an_error() {
        let dir = Dir::new("journal-ends");
        let of = Of::Container { id: "0123".to_owned(), uid: 7 };
        let mut journal = Journal::run(&program(&dir, "exit 3"), &of, SystemTime::now()).unwrap();
        while journal.check().is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(journal.check().unwrap_err().to_string().contains('3'));
        assert!(Journal::run(&dir.path("missing"), &of, SystemTime::now()).is_err());
        assert_eq!(of.entries(), ["_UID=7", "CONTAINER_ID_FULL=0123"]);
        let unit = Of::Unit("nginx.service".to_owned()).wanted();
        assert_eq!(unit[..2], ["_SYSTEMD_UNIT=nginx.service", "+"]);
        assert_eq!(unit[2..], [DROPPED[0], DROPPED[1], "OBJECT_SYSTEMD_UNIT=nginx.service"]);
        let syslog = Of::Syslog("nginx".to_owned()).entries();
        assert_eq!(
            (&syslog[..2], syslog.len()),
            (&["_TRANSPORT=syslog", "_COMM=nginx"].map(str::to_owned)[..], 7)
        );
    }
}
