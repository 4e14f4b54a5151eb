//! Lines that wait for their process to become known.

use std::sync::Arc;

use upstream_trace_core::event::Nanos;

use super::classify::Header;
use super::envelopes::Kept;
use super::file::FileId;
use super::files::Line;

/// A line whose process was not known when it was read: a worker that has just started, perhaps, or one that has just
/// opened the file. It is looked at again.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) header: Header,
    text: Box<[u8]>,
    file: FileId,
    name: Arc<str>,
    after: Nanos,
    kept: Kept,
    doubtful: bool,
    /// When it was read.
    pub(super) since: Nanos,
}

impl Stranger {
    pub(super) fn of(line: Line<'_>, since: Nanos) -> Self {
        Self {
            header: line.header,
            text: line.text.into(),
            file: line.file,
            name: line.name.into(),
            after: line.after,
            kept: line.kept,
            doubtful: line.doubtful,
            since,
        }
    }

    pub(super) fn line(&self) -> Line<'_> {
        Line {
            header: self.header,
            text: &self.text,
            file: self.file,
            name: &self.name,
            after: self.after,
            kept: self.kept,
            doubtful: self.doubtful,
        }
    }
}
