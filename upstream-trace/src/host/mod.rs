//! The host: namespaces, and what this process may do.

pub mod netns;
pub mod privileges;
