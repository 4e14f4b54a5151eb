//! The commands that read recordings.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::ColorChoice;

use crate::args;
use crate::output::top::{Model, show};
use crate::output::{Sink, SinkState, escape};
use crate::recording::{self, Reader};
use crate::report::{replay, warnings};
use crate::sinks::{self, Options};

/// Prints and writes what recordings have to say.
///
/// # Errors
/// If a recording cannot be opened, or a report cannot be written.
pub fn report(args: &args::Report) -> Result<ExitCode> {
    // All of them first: half a report helps nobody.
    let mut readers = Vec::new();
    for file in &args.files {
        readers.extend(Reader::open_all(file, args.since)?);
    }
    let mut sinks = sinks::open(&Options {
        formats: args.outputs.formats(),
        colour: args.color,
        verbose: false,
        several: readers.len() > 1,
    });
    for (path, mut reader) in readers {
        if args.redact {
            reader = reader.redacted();
        }
        sinks.begin_recording(&name(&path));
        replay(&mut reader, &mut sinks);
        match sinks.state() {
            SinkState::Open => {}
            SinkState::Closed => return Ok(ExitCode::SUCCESS),
            SinkState::Failed => return Ok(ExitCode::FAILURE),
        }
        let warnings = warnings(&reader);
        warn(&path, &warnings);
        sinks.end_recording(&warnings);
    }
    sinks.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a copy of a recording to share.
///
/// # Errors
/// If the recording cannot be read or the copy cannot be written.
pub fn redact(args: &args::Redact) -> Result<ExitCode> {
    let reader = recording::redact(&args.file, &args.copy)?;
    warn(&args.file, &warnings(&reader));
    Ok(ExitCode::SUCCESS)
}

/// Shows a recording on the whole terminal.
///
/// # Errors
/// If it cannot be opened, or stdout is no terminal.
pub fn top(file: &Path, colour: ColorChoice) -> Result<ExitCode> {
    let mut reader = Reader::open(file)?;
    let mut model = Model::of_recording();
    replay(&mut reader, &mut model);
    for warning in warnings(&reader) {
        model.warn(&warning);
    }
    show(model, colour)?;
    Ok(ExitCode::SUCCESS)
}

fn warn(path: &Path, warnings: &[String]) {
    for warning in warnings {
        // Nobody may be reading.
        let _closed =
            writeln!(io::stderr(), "warning: {}: {}", escape(&path.display().to_string()), escape(warning));
    }
}

/// Name of a file without its folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new("recording")).to_string_lossy().into_owned()
}
