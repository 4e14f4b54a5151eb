//! What the fuzzers run: one target a file, each with the bytes that it begins from.
//!
//! Everything here takes bytes that may come from anywhere, and must neither panic nor say what cannot be. The same
//! functions run in three places: under libFuzzer (`cargo xtask fuzz`, through `libfuzzer/`), as a short ordinary test
//! with changes made by [`mutate`] (`tests/short.rs`), and on a single file (`cargo run -p upstream-trace-fuzz`).

mod btf;
mod cmdline;
mod config;
mod decode;
mod dns;
mod engine;
mod iptables;
mod kallsyms;
mod log;
mod log_wrapping;
pub mod mutate;
mod netlink;
mod nft;
mod recording;
mod say;
mod target;

pub use target::Target;

/// Every target.
pub const TARGETS: &[Target] = &[
    btf::TARGET,
    cmdline::TARGET,
    config::TARGET,
    decode::TARGET,
    dns::TARGET,
    engine::TARGET,
    iptables::TARGET,
    kallsyms::TARGET,
    log::TARGET,
    log_wrapping::TARGET,
    netlink::TARGET,
    nft::TARGET,
    recording::TARGET,
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
