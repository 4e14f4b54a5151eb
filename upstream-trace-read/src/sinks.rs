//! The list of all sinks of this crate: what the command line can ask for, and what that opens.

use std::path::PathBuf;

use clap::ColorChoice;

use crate::output::{self, Json, Sinks, Terminal, stream};
use crate::report::model::Collector;
use crate::report::{Exporter, HostTable, HtmlFile, Markdown};

/// What results can be written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Blocks of text on stdout, as they come.
    Text,
    /// One JSON object a line on stdout, as they come.
    Json,
    /// A short summary on stdout, at the end.
    Markdown,
    /// A page with charts in this file, at the end.
    Html(PathBuf),
}

/// What results are written as, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Each of these, in this order.
    pub formats: Vec<Format>,
    /// Colours in text.
    pub colour: ColorChoice,
    /// With the cost of each hook in the summary.
    pub verbose: bool,
    /// Results are of several recordings: all says of which host it is.
    pub several: bool,
}

/// The sinks that are asked for, as one.
#[must_use]
pub fn open(options: &Options) -> Sinks {
    let mut sinks = Sinks::default();
    let mut exporters: Vec<Box<dyn Exporter>> = Vec::new();
    let look = output::look(options.colour, options.verbose);
    let (stdout, stderr) = (stream::stdout, stream::stderr);
    for format in &options.formats {
        match format {
            Format::Text => {
                sinks.push(Terminal::new(stdout(), stderr(), look).several(options.several));
                if options.several {
                    exporters.push(Box::new(HostTable(output::page(options.colour))));
                }
            }
            Format::Json => sinks.push(Json::new(stdout(), stderr(), look).several(options.several)),
            Format::Markdown => exporters.push(Box::new(Markdown)),
            Format::Html(path) => exporters.push(Box::new(HtmlFile(path.clone()))),
        }
    }
    if !exporters.is_empty() {
        sinks.push(Collector::new(options.several, exporters));
    }
    sinks
}
