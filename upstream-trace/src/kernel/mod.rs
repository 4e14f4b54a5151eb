//! The eBPF side as user space sees it: what the kernel offers, loading, attaching, reading.

#[cfg(test)]
mod abi;
pub mod accounts;
mod attach;
pub mod btf;
pub mod decode;
pub mod hook_filter;
pub mod load;
mod load_ahead;
pub mod probe;
mod refusal;
pub mod symbols;
pub mod tables;
pub mod tracefs;
mod watch_table;
