//! Recordings by a path: a file, or a folder of a flight recorder; all of it, or from a time on.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use upstream_trace_core::event::{Event, Nanos};

use super::{Reader, flight};

impl Reader {
    /// What is at a path, oldest first: one reader for a file, one for each run of a folder, with its name. `since`
    /// counts from the last event of each.
    ///
    /// # Errors
    /// If the path, or a file that belongs to it, cannot be read.
    pub fn open_all(path: &Path, since: Option<Duration>) -> Result<Vec<(PathBuf, Self)>> {
        if !path.is_dir() {
            return Ok(vec![(path.to_owned(), Self::of_parts(vec![path.to_owned()], since)?)]);
        }
        let parts = flight::parts(path).with_context(|| format!("cannot report {}", path.display()))?;
        let mut runs: Vec<(i64, Vec<PathBuf>)> = Vec::new();
        for part in parts {
            // One that is being made has no header yet; one that is damaged there has nothing to tell.
            let Ok(reader) = Self::open(&part) else { continue };
            match runs.iter_mut().find(|(run, _)| *run == reader.run()) {
                Some((_, parts)) => parts.push(part),
                None => runs.push((reader.run(), vec![part])),
            }
        }
        if runs.is_empty() {
            bail!("cannot report {}: there is no recording of --record with --keep in it", path.display());
        }
        runs.into_iter().map(|(_, parts)| Ok((parts[0].clone(), Self::of_parts(parts, since)?))).collect()
    }

    /// The parts of one run, as one.
    fn of_parts(mut parts: Vec<PathBuf>, since: Option<Duration>) -> Result<Self> {
        let from = since.map(|since| from(&parts, since)).transpose()?;
        if let Some(from) = from {
            // Those that ended before have nothing to tell: the next one begins with all that must be known.
            let begins = |part: &PathBuf| Self::open(part).ok().and_then(|reader| reader.begins());
            while parts.len() > 1 && begins(&parts[1]).is_some_and(|begins| begins <= from) {
                parts.remove(0);
            }
        }
        let mut parts = VecDeque::from(parts);
        let first = parts.pop_front().context("no file")?;
        Ok(Self::open(&first)?.followed_by(parts).starting(from))
    }
}

/// The time that long before the last event.
fn from(parts: &[PathBuf], since: Duration) -> Result<Nanos> {
    let mut last = 0;
    for part in parts.iter().rev() {
        last = Reader::open(part)?.map(|event: Event| event.at()).max().unwrap_or(0);
        if last > 0 {
            break;
        }
    }
    Ok(last.saturating_sub(Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)))
}
