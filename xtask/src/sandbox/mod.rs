//! What demo, soak test and benchmark run in: processes and network namespaces that do not outlive them.

mod child;
pub(crate) mod interrupt;
mod namespace;
mod nginx;

pub(crate) use child::Running;
pub(crate) use namespace::{Namespace, ip};
pub(crate) use nginx::{Files, Nginx};
