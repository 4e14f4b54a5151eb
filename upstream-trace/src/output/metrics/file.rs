//! Writes the numbers for the textfile collector of `node_exporter`: whole files, moved into place.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Shared;
use super::text;

/// Between two files; `node_exporter` is scraped less often.
const EVERY: Duration = Duration::from_secs(5);

/// Writes the file now, and then on a thread of its own until the sender has gone; then once more.
///
/// # Errors
/// If it cannot be written now.
pub(super) fn keep(
    path: PathBuf,
    shared: Shared,
    end: Receiver<()>,
    on_start: fn(),
) -> Result<JoinHandle<()>> {
    write(&path, &shared)?;
    let keep = move || {
        on_start();
        let mut failed = false;
        loop {
            let over = end.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
            let result = write(&path, &shared);
            if let Err(error) = &result
                && !failed
            {
                log::warn!("{error:#}; tracing goes on, and so do attempts to write it");
            }
            failed = result.is_err();
            if over {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("metrics-file".to_owned())
        .spawn(keep)
        .context("cannot start a thread for metrics")
}

fn write(path: &Path, shared: &Shared) -> Result<()> {
    let text = text::prometheus(&text::openmetrics(shared.snapshot()));
    let write = || -> Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The collector reads what ends in .prom: this does not.
        let mut file =
            tempfile::Builder::new().prefix(".upstream-trace-").suffix(".tmp").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        // node_exporter is another user.
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write metrics to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::output::testkit::{failure, server};
    use upstream_trace_core::verdict::Output;

    #[test]
    fn the_file_is_whole_readable_and_up_to_date_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upstream_trace.prom");
        let (end, ended) = channel();
        let shared = Shared::default();
        let thread = keep(path.clone(), shared.clone(), ended, || ()).unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        assert!(text().contains("upstream_trace_build_info"));
        shared.count(|counter| counter.output(&Output::Failure(failure(1, &server(1)))));
        drop(end);
        thread.join().unwrap();
        assert!(text().contains("cause=\"port-refused\""), "{}", text());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let (_end, ended) = channel();
        let error = keep("/none/such.prom".into(), Shared::default(), ended, || ()).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write metrics to /none/such.prom: "), "{error:#}");
    }
}
