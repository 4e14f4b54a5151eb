//! The list of all sinks of this crate: what the command line can ask for, and what that opens.
//!
//! To add a sink, write its file in this folder, and here its `mod` line, its option, its [`Format`] and what that opens.

use std::path::PathBuf;

use clap::{Args, ColorChoice};

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

/// What a report writes: options of the command line.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Outputs {
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,

    /// Print a short Markdown summary for a chat or a ticket
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,

    /// Write a report with charts: one HTML file that works offline
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
}

impl Outputs {
    /// The formats in their order: a page is written first, since what is printed last is what the shell shows.
    #[must_use]
    pub fn formats(&self) -> Vec<Format> {
        let html = self.html.clone().map(Format::Html);
        let printed = match (self.json, self.markdown, &html) {
            (true, ..) => Some(Format::Json),
            (false, true, _) => Some(Format::Markdown),
            (false, false, Some(_)) => None,
            (false, false, None) => Some(Format::Text),
        };
        html.into_iter().chain(printed).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_written_if_nothing_else_is_and_a_page_comes_first() {
        let formats = |json, markdown, html: Option<&str>| {
            Outputs { json, markdown, html: html.map(PathBuf::from) }.formats()
        };
        assert_eq!(formats(false, false, None), [Format::Text]);
        assert_eq!(formats(true, false, None), [Format::Json]);
        assert_eq!(formats(false, false, Some("x.html")), [Format::Html("x.html".into())]);
        assert_eq!(formats(false, true, Some("x.html")), [Format::Html("x.html".into()), Format::Markdown]);
    }
}
