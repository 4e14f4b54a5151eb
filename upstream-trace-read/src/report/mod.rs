//! What recordings have to say: the verdicts of the live traces, from the same events, and reports over all of them.

mod by_host;
mod file;
mod html;
mod markdown;
pub mod model;
mod phrases;
mod replay;

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use upstream_trace_core::event::{Event, Host, Nanos};
use upstream_trace_core::verdict::{Output, Summary};

use crate::args;
use crate::output::{self, Extra, Sink, escape};
use crate::recording::{self, Reader};
use model::Collector;

pub use replay::{replay, warnings};

/// Prints and writes what recordings have to say.
pub fn run(args: &args::Report) -> Result<ExitCode> {
    let several = args.files.len() > 1;
    // All of them first: half a report helps nobody.
    let readers = args.files.iter().map(|file| Reader::open(file)).collect::<Result<Vec<_>>>()?;
    let mut collector = Collector::new(several);
    for (path, mut reader) in args.files.iter().zip(readers) {
        if args.redact {
            reader = reader.redacted();
        }
        let file = name(path);
        collector.begin(&file);
        let part = several.then_some(file.as_str());
        let mut sink = lines(args).then(|| output::open_part(args.json, false, args.color, part));
        match &mut sink {
            Some(sink) => replay(&mut reader, &mut Both(&mut **sink, &mut collector)),
            None => replay(&mut reader, &mut collector),
        }
        if let Some(sink) = sink.filter(|sink| sink.closed()) {
            return Ok(if sink.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        let warnings = warnings(&reader);
        warn(path, &warnings);
        collector.end(warnings);
    }
    let model = collector.model();
    if let Some(path) = &args.html {
        file::write(path, &html::of(&model)?)?;
        let _closed = writeln!(io::stderr(), "wrote {}", escape(&path.display().to_string()));
    }
    let mut text = String::new();
    if args.markdown {
        text = markdown::of(&model);
    } else if several && lines(args) && !args.json {
        text = by_host::of(&model, output::page(args.color));
    }
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it may have gone.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write the output");
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a copy of a recording to share.
pub fn redact(args: &args::Redact) -> Result<ExitCode> {
    let reader = recording::redact(&args.file, &args.copy)?;
    warn(&args.file, &warnings(&reader));
    Ok(ExitCode::SUCCESS)
}

fn warn(path: &Path, warnings: &[String]) {
    for warning in warnings {
        // Nobody may be reading.
        let _closed =
            writeln!(io::stderr(), "warning: {}: {}", escape(&path.display().to_string()), escape(warning));
    }
}

/// The verdicts are printed one by one.
fn lines(args: &args::Report) -> bool {
    args.json || !(args.markdown || args.html.is_some())
}

/// Name of a file without its folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new("recording")).to_string_lossy().into_owned()
}

/// Says everything twice.
struct Both<'a>(&'a mut dyn Sink, &'a mut dyn Sink);

impl Sink for Both<'_> {
    fn start(&mut self, host: &Host) {
        self.0.start(host);
        self.1.start(host);
    }

    fn event(&mut self, event: &Event) {
        self.0.event(event);
        self.1.event(event);
    }

    fn output(&mut self, output: &Output) {
        self.0.output(output);
        self.1.output(output);
    }

    fn tick(&mut self, now: Nanos) {
        self.0.tick(now);
        self.1.tick(now);
    }

    fn summary(&mut self, summary: &Summary, extra: &Extra) {
        self.0.summary(summary, extra);
        self.1.summary(summary, extra);
    }

    fn closed(&self) -> bool {
        self.0.closed() || self.1.closed()
    }

    fn failed(&self) -> bool {
        self.0.failed()
    }
}
