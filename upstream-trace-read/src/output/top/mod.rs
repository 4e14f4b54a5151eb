//! `top`: causes by upstream on the whole terminal, live or of a recording.
//!
//! The event loop only notes what happened in a [`Model`], which is bounded. A thread draws it when something has changed
//! or a key was pressed, and sleeps otherwise.

mod draw;
mod history;
mod keys;
mod model;
mod screen;

pub use model::Model;
pub use screen::{Top, show};
