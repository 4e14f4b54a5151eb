//! What the engine remembers: every store is bounded, and its bound stands beside it.

pub(super) mod closers;
pub(super) mod configs;
pub(super) mod dns_lookups;
pub(super) mod fact_cache;
pub(super) mod origins;
pub(super) mod overflow;
pub(super) mod packets;
pub(super) mod queue;
pub(super) mod resolver_errors;
pub(super) mod retries;
pub(super) mod troubles;
pub(super) mod upstreams;
pub(super) mod workloads;
