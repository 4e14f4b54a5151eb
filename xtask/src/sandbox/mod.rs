//! What demo, soak test and benchmark run in: processes, network namespaces and collectors that do not outlive them.

mod child;
mod collectors;
pub(crate) mod interrupt;
mod namespace;
mod nginx;
mod notices;

pub(crate) use child::Running;
pub(crate) use collectors::{Collectors, Receives};
pub(crate) use namespace::{Namespace, ip};
pub(crate) use nginx::{Files, Nginx};
pub(crate) use notices::Notices;
