//! Every target on every seed, and on some changes of each: what `cargo xtask fuzz` does for longer and far better.

use std::panic::{self, AssertUnwindSafe};

use upstream_trace_fuzz::mutate::Rng;
use upstream_trace_fuzz::{TARGETS, Target};

/// Bytes of input for each target, about: so that a slow target takes no longer than a fast one.
const BYTES: usize = 3_000_000;

/// Most runs of a target.
const RUNS: usize = 20_000;

/// Longest input.
const LONGEST: usize = 64 * 1024;

fn check(target: &Target) {
    let seeds = target.all_seeds();
    assert!(!seeds.is_empty(), "{} has nothing to begin from", target.name);
    let mut rng = Rng::new(2026);
    let (mut runs, mut left) = (0, BYTES);
    while runs < seeds.len() || (runs < RUNS && left > 0) {
        let (name, seed) = &seeds[runs % seeds.len()];
        let mut bytes = seed.clone();
        for _ in 0..(runs / seeds.len()).min(8) {
            (target.mutate)(&mut bytes, LONGEST, &mut rng);
        }
        runs += 1;
        left = left.saturating_sub(bytes.len());
        if panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err() {
            let file = std::env::temp_dir().join(format!(
                "upstream-trace-fuzz-{}-{}",
                target.name,
                std::process::id()
            ));
            let kept = std::fs::write(&file, &bytes).is_ok();
            let file = file.display();
            panic!("{} failed on a change of {name}; kept in {file}: {kept}", target.name);
        }
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test] fn $name() { check(upstream_trace_fuzz::target(stringify!($name)).expect("a target")); })*

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
        }
    };
}

targets!(
    btf,
    cmdline,
    config,
    decode,
    dns,
    engine,
    iptables,
    kallsyms,
    log,
    log_wrapping,
    netlink,
    nft,
    recording
);
