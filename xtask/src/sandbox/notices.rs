//! What a program tells its service manager: that it is ready.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// A service manager that only listens.
#[derive(Debug)]
pub(crate) struct Notices(UnixDatagram);

impl Notices {
    /// Of a program that will be started by this command; `folder` is for a socket, and must outlive what the command starts.
    pub(crate) fn of(command: &mut Command, folder: &Path) -> Result<Self> {
        let path = folder.join("notices");
        let socket =
            UnixDatagram::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
        socket.set_nonblocking(true).context("cannot listen without waiting")?;
        command.env("NOTIFY_SOCKET", path).env_remove("WATCHDOG_USEC");
        Ok(Self(socket))
    }

    /// Whether, since the last question, it said that it is ready.
    pub(crate) fn say_ready(&self) -> bool {
        let mut notice = [0; 1024];
        while let Ok(length) = self.0.recv(&mut notice) {
            if notice[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_what_the_program_says() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("true");
        let notices = Notices::of(&mut command, folder.path()).unwrap();
        let (_, socket) = command.get_envs().find(|(name, _)| *name == "NOTIFY_SOCKET").unwrap();
        let program = UnixDatagram::unbound().unwrap();
        program.connect(socket.unwrap()).unwrap();
        assert!(!notices.say_ready());
        program.send(b"STATUS=not READY=1 yet").unwrap();
        assert!(!notices.say_ready());
        program.send(b"STATUS=looking").unwrap();
        program.send(b"READY=1\nSTATUS=tracing 2 workers").unwrap();
        assert!(notices.say_ready());
    }
}
