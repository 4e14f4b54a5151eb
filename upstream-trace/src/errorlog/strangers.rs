//! Lines of processes that are not known yet.

use std::sync::Arc;

use upstream_trace_core::event::Nanos;

use super::file::FileId;
use super::files::Line;
use super::judge::Header;

/// A line of a process that was not known when it was read: a worker that has just begun, perhaps. It is looked at once
/// more.
#[derive(Debug)]
pub(super) struct Stranger {
    header: Header,
    text: Box<[u8]>,
    file: FileId,
    name: Arc<str>,
    after: Nanos,
}

impl Stranger {
    pub(super) fn of(line: Line<'_>) -> Self {
        Self {
            header: line.header,
            text: line.text.into(),
            file: line.file,
            name: line.name.into(),
            after: line.after,
        }
    }

    pub(super) fn line(&self) -> Line<'_> {
        Line { header: self.header, text: &self.text, file: self.file, name: &self.name, after: self.after }
    }
}
