//! What recordings have to say: the verdicts of the live traces, from the same events, and reports over all of them.

mod by_host;
mod export;
mod file;
mod html;
mod markdown;
pub mod model;
mod phrases;
mod replay;

pub use export::{Exporter, HostTable, HtmlFile, Markdown};
pub use replay::{replay, warnings};
