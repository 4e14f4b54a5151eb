//! A copy of a recording to share.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::NamedTempFile;
use zstd::stream::write::Encoder;

use super::read::{Ending, Reader};
use super::{END, EndLine, Header, LEVEL, NAME, VERSION, WINDOW_LOG};

/// Writes a redacted copy: for its owner only, whole or not at all, and over nothing. A recording that was cut off has a
/// copy that is. Gives the reader back: it knows how the recording ended.
pub fn redact(from: &Path, to: &Path) -> Result<Reader> {
    let mut reader = Reader::open(from)?.redacted();
    copy(&mut reader, to).with_context(|| format!("cannot write a copy to {}", to.display()))?;
    Ok(reader)
}

fn copy(reader: &mut Reader, to: &Path) -> Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".upstream-trace-").tempfile_in(folder)?;
    let mut encoder = Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.window_log(WINDOW_LOG)?;
    line(
        &mut encoder,
        &Header {
            recording: NAME.to_owned(),
            version: VERSION,
            by: env!("CARGO_PKG_VERSION").to_owned(),
            ticks: true,
            run: reader.run(),
            begins: None,
        },
    )?;
    for event in reader.by_ref() {
        line(&mut encoder, &event)?;
    }
    if let Ending::Complete(end) = reader.ending() {
        line(&mut encoder, &EndLine { recording: END.to_owned(), end: *end })?;
    }
    let file: NamedTempFile = encoder.finish()?;
    file.persist_noclobber(to).map_err(|error| error.error)?;
    Ok(())
}

fn line(to: &mut impl Write, object: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *to, object)?;
    to.write_all(b"\n")?;
    Ok(())
}
