//! Runs a program of the host that lists a ruleset: without a shell, with nothing of this process's environment, and
//! within bounds of time and size.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Where such programs are.
const DIRECTORIES: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];
/// Longest that one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most that one may say.
const MOST: u64 = 8 * 1024 * 1024;

/// What the first of these programs that exists says; the error is for people.
pub(super) fn output(names: &[&str], arguments: &[&str]) -> Result<String, String> {
    let name = names.first().copied().unwrap_or_default();
    let path = names.iter().find_map(|name| find(name)).ok_or_else(|| format!("{name} is not installed"))?;
    run(&path, arguments).map_err(|why| format!("{name} {why}"))
}

/// Where this program is.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

fn run(path: &Path, arguments: &[&str]) -> Result<String, String> {
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
    let until = Instant::now() + PATIENCE;
    let said = child.stdout.take().map(|pipe| {
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.take(MOST + 1).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes));
        });
        receiver
    });
    let said = said.and_then(|receiver| receiver.recv_timeout(PATIENCE).ok()).and_then(Result::ok);
    let Some(bytes) = said.filter(|bytes| bytes.len() as u64 <= MOST) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err("said too much, or took too long".to_owned());
    };
    // Whoever has closed its output is about to end.
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("failed".to_owned());
            }
        }
    }
    String::from_utf8(bytes).or_else(|error| Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()))
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
        assert_eq!(output(&["false"], &[]), Err("false failed".to_owned()));
    }

    #[test]
    fn a_program_that_never_ends_is_ended() {
        let begun = Instant::now();
        assert!(output(&["sleep"], &["60"]).is_err());
        assert!(output(&["yes"], &[]).is_err());
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
