//! The journal and a service manager, played by the lab.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::util::wait_until;

/// For something to come.
const LIMIT: Duration = Duration::from_secs(20);

/// A socket of datagrams, as journald and service managers have one.
#[derive(Debug)]
pub struct Datagrams {
    got: Arc<Mutex<Vec<String>>>,
}

impl Datagrams {
    /// Listens at this path until the process ends.
    pub fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).with_context(|| format!("bind {}", path.display()))?;
        let got = Arc::<Mutex<Vec<String>>>::default();
        let to = Arc::clone(&got);
        thread::spawn(move || {
            let mut buffer = vec![0; 256 << 10];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                to.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        });
        Ok(Self { got })
    }

    /// Waits for so many of which this is true.
    pub fn wait(&self, count: usize, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let got = || self.got.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let enough = || got().iter().filter(|text| wanted(text)).count() >= count;
        wait_until("datagrams", LIMIT, enough).with_context(|| format!("only these came: {:?}", got()))
    }
}
