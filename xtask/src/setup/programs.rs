//! Programs that the demo and the fault lab start.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::apt;
use crate::paths;
use crate::say::note;

/// Program, Debian package.
const PROGRAMS: [(&str, &str); 7] = [
    ("nginx", "nginx-light"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("iptables-nft", "iptables"),
    ("iptables-legacy", "iptables"),
    ("conntrack", "conntrack"),
];

/// Origins and collectors that the fault lab starts; one may have its version in its name.
const ORIGINS: [(&str, &str); 6] = [
    ("php-fpm", "php-fpm"),
    ("gunicorn", "gunicorn"),
    ("haproxy", "haproxy"),
    ("node", "nodejs"),
    ("patchelf", "patchelf"),
    // It has promtool as well.
    ("prometheus", "prometheus"),
];

/// What the benchmark compares with, and loads nginx with.
const BENCH: [(&str, &str); 4] =
    [("wrk", "wrk"), ("bpftrace", "bpftrace"), ("tcpdump", "tcpdump"), ("strace", "strace")];

/// What virtual machines need.
const VM: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("xz", "xz-utils"),
    ("openssl", "openssl"),
];

/// What those of another architecture need beyond that.
const OTHER_VM: [(&str, &str); 2] = [("qemu-system-aarch64", "qemu-system-arm"), ("patchelf", "patchelf")];

/// Browsers that the tests can drive.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// Those that are not there.
pub(crate) fn missing() -> Vec<&'static str> {
    missing_of(&PROGRAMS)
}

fn missing_of(programs: &[(&'static str, &str)]) -> Vec<&'static str> {
    let all = programs.iter().map(|(program, _)| *program);
    all.filter(|program| paths::program(program).is_none() && versioned(program).is_none()).collect()
}

/// A program that has its version in its name, as Debian calls `php-fpm8.2`.
pub(crate) fn versioned(program: &str) -> Option<PathBuf> {
    let files = fs::read_dir("/usr/sbin").into_iter().flatten().flatten().map(|entry| entry.path());
    files.into_iter().find(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let version = name.strip_prefix(program).unwrap_or_default();
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// Makes sure that what the fault lab starts beyond that is there.
pub(crate) fn ensure_for_tests() -> Result<()> {
    ensure_all(&ORIGINS, "the tests need")
}

/// Makes sure that all are there.
pub(crate) fn ensure() -> Result<()> {
    ensure_all(&PROGRAMS, "the demo and the tests need")
}

/// Makes sure that what the benchmark needs beyond that is there.
pub(crate) fn ensure_for_bench() -> Result<()> {
    ensure_all(&BENCH, "the benchmark needs")
}

/// Makes sure that what virtual machines need beyond that is there.
pub(crate) fn ensure_for_vm() -> Result<()> {
    ensure_all(&VM, "virtual machines need")
}

/// Makes sure that what those of another architecture need beyond that is there.
pub(crate) fn ensure_for_vm_of_another_architecture() -> Result<()> {
    ensure_all(&OTHER_VM, "virtual machines of another architecture need")
}

fn ensure_all(programs: &[(&'static str, &str)], who: &str) -> Result<()> {
    let missing = missing_of(programs);
    if missing.is_empty() {
        return Ok(());
    }
    if !apt::is_usable() {
        bail!("{who} {}: install them and run this again", missing.join(", "));
    }
    let mut packages: Vec<_> = programs
        .iter()
        .filter(|(program, _)| missing.contains(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    apt::install(&packages)
}

/// Gets the browser in which the tests look at the HTML report. Without it they are ignored, and say so.
pub(crate) fn browser() {
    let there = BROWSERS.iter().any(|program| paths::program(program).is_some());
    if there || !apt::is_usable() {
        return;
    }
    if let Err(error) = apt::install(&["chromium"]) {
        note("Warning", format!("the HTML report is not tested: {error:#}"));
    }
}
