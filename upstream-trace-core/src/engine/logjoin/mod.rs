//! Lines of error.log, joined to the attempts that they are about.

pub(super) mod align;
pub(super) mod healthy;
pub(super) mod lines;
pub(super) mod logs;
pub(super) mod matching;
pub(super) mod open;
pub(super) mod settle;
pub(super) mod signature;
