//! Reports over everything that was replayed, written at the end.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::model::ReportModel;
use super::{by_host, file, html, markdown};
use crate::output::escape;
use crate::output::layout::TextLayout;

/// Writes a report.
pub trait Exporter {
    /// Writes it, to a file or to stdout.
    ///
    /// # Errors
    /// If it cannot be written; that the reader has gone is no error.
    fn export(&self, model: &ReportModel) -> Result<()>;
}

/// A short summary to paste, on stdout.
#[derive(Clone, Copy, Debug)]
pub struct Markdown;

impl Exporter for Markdown {
    fn export(&self, model: &ReportModel) -> Result<()> {
        print(&markdown::of(model))
    }
}

/// A table with a row for each host, on stdout.
#[derive(Clone, Copy, Debug)]
pub struct HostTable(pub TextLayout);

impl Exporter for HostTable {
    fn export(&self, model: &ReportModel) -> Result<()> {
        print(&by_host::of(model, self.0))
    }
}

/// A page with charts, in this file.
#[derive(Clone, Debug)]
pub struct HtmlFile(pub PathBuf);

impl Exporter for HtmlFile {
    fn export(&self, model: &ReportModel) -> Result<()> {
        file::write(&self.0, &html::of(model)?)?;
        let _closed = writeln!(io::stderr(), "wrote {}", escape(&self.0.display().to_string()));
        Ok(())
    }
}

fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it may have gone.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write the output"),
    }
}
