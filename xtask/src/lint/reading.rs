//! Reading a recording needs neither root nor Linux: that crate is free of what does, and other systems compile it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::Outcome;
use crate::say::say;
use crate::{build, paths, process, setup};

/// The crate that everyone can use who has a recording.
const CRATE: &str = "upstream-trace-read";

/// What it may not depend on, however far down: the kernel's interfaces. `*` at the end stands for any rest. What Unix
/// has is not among them: where there is no Unix, the compiler sees to it.
const FORBIDDEN: [&str; 7] = ["aya", "aya-*", "btf-rs", "caps", "netlink-*", "procfs*", "upstream-trace"];

/// Systems that must compile it. The first has nothing of Unix.
const TARGETS: [&str; 2] = ["x86_64-pc-windows-msvc", "aarch64-apple-darwin"];

/// Nothing is linked in a check, so that C code needs no compiler: `true` stands for it, and this for `ar`.
const AR: &str = "#!/bin/sh\nfor word; do case $word in -out:*) : >\"${word#-out:}\";; esac; done\n";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    id: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Whether anything of the kernel is among its dependencies.
pub(super) fn dependencies() -> Result<Outcome> {
    let Some(metadata) = metadata()? else { return Ok(missing()) };
    let wrong = forbidden(&metadata, CRATE, &FORBIDDEN);
    if !wrong.is_empty() {
        bail!("{CRATE} must be readable without a kernel, but depends on\n  {}", wrong.join("\n  "));
    }
    Ok(Outcome::Clean)
}

/// Whether it compiles for other systems, with a standard library that is made from source.
pub(super) fn other_systems() -> Result<Outcome> {
    if metadata()?.is_none() {
        return Ok(missing());
    }
    let toolchain = setup::toolchain()?;
    let dir = paths::target().join("other-systems");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let ar = dir.join("ar");
    fs::write(&ar, AR).and_then(|()| fs::set_permissions(&ar, fs::Permissions::from_mode(0o755)))?;
    for target in TARGETS {
        say("For", target);
        let mut cargo = build::source_cargo(&toolchain);
        cargo.args(["check", "--quiet", "--package", CRATE, "--target", target, "--target-dir"]).arg(&dir);
        cargo.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort").env("CARGO_PROFILE_DEV_DEBUG", "0");
        let name = target.replace('-', "_");
        cargo.env(format!("CC_{name}"), "true").env(format!("AR_{name}"), &ar);
        process::run(&mut cargo).with_context(|| format!("{CRATE} does not compile for {target}"))?;
    }
    Ok(Outcome::Clean)
}

fn missing() -> Outcome {
    Outcome::NotRun(format!("there is no crate {CRATE}"))
}

/// What cargo says about all crates, if ours is among them.
fn metadata() -> Result<Option<Metadata>> {
    let mut cargo = process::cargo();
    let text = process::capture(cargo.args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&text).context("cannot read what cargo metadata says")?;
    let is_there = metadata.packages.iter().any(|package| package.name == CRATE);
    Ok(is_there.then_some(metadata))
}

/// How each forbidden crate is reached, the shortest way: `a -> b -> c`.
fn forbidden(metadata: &Metadata, from: &str, forbidden: &[&str]) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (&*package.id, &*package.name)).collect();
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (&*node.id, node)).collect();
    let Some(start) = metadata.packages.iter().find(|package| package.name == from) else {
        return Vec::new();
    };
    let mut ways = vec![vec![&*start.id]];
    let (mut seen, mut wrong) = (BTreeSet::from([&*start.id]), Vec::new());
    while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
        let used = way.last().and_then(|last| nodes.get(last)).into_iter().flat_map(|node| &node.deps);
        for dependency in used.filter(|one| is_built(one)) {
            let id = &*dependency.pkg;
            if !seen.insert(id) {
                continue;
            }
            let way = [way.as_slice(), &[id]].concat();
            if names.get(id).is_some_and(|name| forbidden.iter().any(|one| matches(one, name))) {
                let way: Vec<_> = way.iter().filter_map(|id| names.get(id).copied()).collect();
                wrong.push(way.join(" -> "));
            } else {
                ways.push(way);
            }
        }
    }
    wrong
}

/// What only its tests use does not count.
fn is_built(dependency: &Dependency) -> bool {
    dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"))
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Crates with the names of those that they use; `dev:` before it says that only tests do.
    fn metadata(crates: &[(&str, &[&str])]) -> Metadata {
        let node = |&(name, uses): &(&str, &[&str])| {
            let dependency = |one: &&str| match one.strip_prefix("dev:") {
                Some(name) => json!({"pkg": format!("id {name}"), "dep_kinds": [{"kind": "dev"}]}),
                None => json!({"pkg": format!("id {one}"), "dep_kinds": [{"kind": null}]}),
            };
            json!({"id": format!("id {name}"), "deps": uses.iter().map(dependency).collect::<Vec<_>>()})
        };
        let package = |&(name, _): &(&str, &[&str])| json!({"name": name, "id": format!("id {name}")});
        let nodes: Vec<_> = crates.iter().map(node).collect();
        let packages: Vec<_> = crates.iter().map(package).collect();
        serde_json::from_value(json!({"packages": packages, "resolve": {"nodes": nodes}})).unwrap()
    }

    #[test]
    fn forbidden_crates_are_found_however_far_down() {
        let sound = metadata(&[("read", &["zstd", "dev:caps"]), ("zstd", &[]), ("caps", &[])]);
        assert_eq!(forbidden(&sound, "read", &FORBIDDEN), [""; 0]);
        let wrong = metadata(&[
            ("read", &["core", "far", "caps"]),
            ("core", &["far"]),
            ("far", &["netlink-sys"]),
            ("netlink-sys", &[]),
            ("caps", &[]),
        ]);
        assert_eq!(forbidden(&wrong, "read", &FORBIDDEN), ["read -> caps", "read -> far -> netlink-sys"]);
    }

    #[test]
    fn names_that_are_forbidden() {
        let is = |name: &str| FORBIDDEN.iter().any(|one| matches(one, name));
        assert!(
            is("aya") && is("aya-obj") && is("procfs") && is("procfs-core") && is("netlink-packet-route")
        );
        assert!(is("upstream-trace") && !is("upstream-trace-core") && !is("ayah") && !is("nix"));
    }

    #[test]
    fn the_program_depends_on_the_kernel() {
        let mut cargo = process::cargo();
        let text = process::capture(cargo.args(["metadata", "--format-version", "1"])).unwrap();
        let metadata = serde_json::from_str(&text).unwrap();
        let wrong = forbidden(&metadata, "upstream-trace", &FORBIDDEN);
        assert!(wrong.iter().any(|way| way == "upstream-trace -> aya"), "{wrong:?}");
    }
}
