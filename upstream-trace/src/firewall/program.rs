//! Runs a program of the host that lists a ruleset: without a shell, with nothing of this process's environment, and
//! within bounds of time and size.

use std::io::{Read, Take};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Where such programs are. That of what was installed by hand comes last: on old systems a group may write there.
const DIRECTORIES: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
/// Longest that one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most that one may print, bytes. 25,000 rules take 8 MB.
const MAX_OUTPUT: u64 = 32 << 20;

/// What the first of these programs that exists prints; the error is for people.
pub(super) fn output(names: &[&str], arguments: &[&str]) -> Result<String, String> {
    let text = |mut output: Take<ChildStdout>| {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    };
    read(names, arguments, text)?.map_err(|error| format!("{}: {error}", names.first().unwrap_or(&"")))
}

/// What `reader` makes of what the first of these programs that exists prints; the error is for people.
pub(super) fn read<T: Send>(
    names: &[&str],
    arguments: &[&str],
    reader: impl FnOnce(Take<ChildStdout>) -> T + Send,
) -> Result<T, String> {
    let name = names.first().copied().unwrap_or_default();
    let path = names.iter().find_map(|name| find(name)).ok_or_else(|| format!("{name} is not installed"))?;
    run(&path, arguments, reader).map_err(|why| format!("{name} {why}"))
}

/// Where this program is.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

fn run<T: Send>(
    path: &Path,
    arguments: &[&str],
    reader: impl FnOnce(Take<ChildStdout>) -> T + Send,
) -> Result<T, String> {
    let mut child = Command::new(path)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        // A Ctrl-C is not for it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let Some(output) = child.stdout.take() else { return Err("has no output".to_owned()) };
    let until = Instant::now() + PATIENCE;
    let (done, is_done) = mpsc::sync_channel::<()>(1);
    // The end of the program is the end of its output: whoever reads that is never stuck.
    let (made, in_time) = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let made = reader(output.take(MAX_OUTPUT));
            drop(done);
            made
        });
        let in_time =
            is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected) && ends(&mut child, until);
        if !in_time {
            let _ = child.kill();
            let _ = child.wait();
        }
        (reading.join(), in_time)
    });
    if !in_time {
        return Err("printed too much, took too long, or failed".to_owned());
    }
    made.map_err(|_| "printed what cannot be read".to_owned())
}

/// Whoever has closed its output is about to end; true if it does so in time, and well.
fn ends(child: &mut Child, until: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_empty_and_failures_are_told() {
        let listing = output(&["no-such-program-here", "env"], &[]).expect("env");
        assert!(!listing.contains("PATH="), "{listing}");
        assert_eq!(
            output(&["no-such-program-here"], &[]),
            Err("no-such-program-here is not installed".to_owned())
        );
        assert_eq!(
            output(&["false"], &[]),
            Err("false printed too much, took too long, or failed".to_owned())
        );
    }

    #[test]
    fn a_program_that_never_ends_is_ended() {
        let begun = Instant::now();
        assert!(output(&["sleep"], &["60"]).is_err());
        assert!(output(&["yes"], &[]).is_err());
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
