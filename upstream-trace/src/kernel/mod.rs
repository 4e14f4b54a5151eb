//! The eBPF side as user space sees it: what the kernel offers, loading, attaching, reading.

#[cfg(test)]
mod abi;
mod attach;
pub mod btf;
pub mod choice;
pub mod decode;
pub mod hooks;
pub mod load;
pub mod probe;
pub mod rights;
pub mod symbols;
pub mod tables;
pub mod tracefs;
