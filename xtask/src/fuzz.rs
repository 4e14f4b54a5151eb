//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, for as long as one likes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::say::say;
use crate::{paths, process, setup};

/// The release of cargo-fuzz that is installed where there is none.
const VERSION: &str = "0.13.2";

/// Longest input, bytes.
const LONGEST: u32 = 64 * 1024;

/// Most memory that one input may take, MiB.
const MEMORY: u32 = 1024;

/// Longest that one input may take, seconds: these are for a machine that is busy with other things.
const PATIENCE: u32 = 25;

/// What to fuzz.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this target; all of them one after the other without
    target: Option<String>,
    /// How long, each
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u32,
}

/// Fuzzes; fails at the first finding, and says where it is kept.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let all = targets()?;
    let chosen = match &options.target {
        None => all,
        Some(name) if all.contains(name) => vec![name.clone()],
        Some(name) => bail!("there is no target {name}; there are {}", all.join(", ")),
    };
    let tool = cargo_fuzz()?;
    chosen.iter().try_for_each(|target| one(&tool, target, options.minutes))
}

/// Each has its file.
fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |file: PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.flatten().filter_map(|file| name(file.path())).collect();
    names.sort();
    Ok(names)
}

fn folder() -> PathBuf {
    paths::root().join("fuzz/libfuzzer")
}

fn cargo_fuzz() -> Result<PathBuf> {
    let own = setup::own_tools().join("bin/cargo-fuzz");
    if let Some(found) = paths::program("cargo-fuzz").or_else(|| own.is_file().then(|| own.clone())) {
        return Ok(found);
    }
    say("Building", format!("cargo-fuzz {VERSION}"));
    let mut cargo = process::cargo();
    cargo.args(["install", "--quiet", "cargo-fuzz", "--version", VERSION, "--locked", "--root"]);
    process::run(cargo.arg(setup::own_tools()))?;
    Ok(own)
}

fn one(tool: &Path, target: &str, minutes: u32) -> Result<()> {
    let place = paths::target().join("fuzz");
    let (corpus, found) = (place.join("corpus").join(target), place.join("found").join(target));
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut seeds = process::cargo();
    seeds.args(["run", "--quiet", "--package", "upstream-trace-fuzz", "--", "seeds", target]);
    process::run(seeds.arg(&corpus))?;
    say("Fuzzing", format!("{target} for {minutes} min; what it finds goes to {}", paths::shown(&found)));
    let mut command = Command::new(tool);
    // The code is safe Rust but for a few lines: a sanitizer would cost half the speed, and a nightly compiler.
    command.current_dir(paths::root()).args(["run", "--sanitizer", "none"]);
    command.arg("--fuzz-dir").arg(folder()).arg("--target-dir").arg(place.join("build"));
    command.arg(target).arg(&corpus).arg("--");
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command.args([format!("-max_len={LONGEST}"), format!("-rss_limit_mb={MEMORY}")]);
    command.args([format!("-timeout={PATIENCE}"), format!("-max_total_time={}", minutes * 60)]);
    command.args(["-print_final_stats=1", "-verbosity=1"]);
    process::run(&mut command).with_context(|| {
        format!(
            "see what is in {}: cargo run -p upstream-trace-fuzz -- run {target} FILE",
            paths::shown(&found)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_program() {
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert!(targets.len() >= 10);
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        }
    }
}
