//! Who may use whom: every crate's modules against the map in ARCHITECTURE.md.
//!
//! Read are all paths that lead from one module of a crate to another: in `use`, in code, in macros and attributes. Left
//! out are comments, texts, and what only tests see. Between crates cargo keeps the arrows.

mod arrows;
mod check;
mod map;
mod packages;
mod source;
#[cfg(test)]
mod tests;
mod visit;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail};

use super::Outcome;
use crate::paths;
use arrows::{Arrows, Crate};
use map::{Allowed, Map, Rooms};
use packages::Package;
use source::Source;

/// The file with the map, from the root of the workspace.
const MAP: &str = "ARCHITECTURE.md";

/// Compares all crates with the map.
pub(super) fn rooms() -> Result<Outcome> {
    let map = read_map()?;
    let packages = packages::all()?;
    let mut wrong = Vec::new();
    for package in &packages {
        let empty = Rooms::new();
        let rooms = map.get(&package.name).unwrap_or(&empty);
        let (arrows, there) = look(package, rooms)?;
        // A crate of one room has nothing to draw.
        if there.len() < 2 && rooms.is_empty() {
            continue;
        }
        let complaints = check::check(&arrows, &there, rooms, MAP);
        wrong.extend(complaints.into_iter().map(|complaint| format!("{}: {complaint}", package.name)));
    }
    for name in map.keys().filter(|name| !packages.iter().any(|package| package.name == **name)) {
        wrong.push(format!("{MAP}: there is no crate {name}"));
    }
    if !wrong.is_empty() {
        let (count, list) = (wrong.len(), wrong.join("\n  "));
        bail!("{count} complaints; `cargo xtask lint --print-rooms` draws the map as the code is\n  {list}");
    }
    Ok(Outcome::Clean)
}

/// The block of the map as the code is now. Rooms within rooms are those of the map that is there.
pub(super) fn print() -> Result<()> {
    let map = read_map().unwrap_or_default();
    let mut text = String::from("```rooms\n");
    for package in packages::all()? {
        let empty = Rooms::new();
        let listed = map.get(&package.name).unwrap_or(&empty);
        let (arrows, there) = look(&package, listed)?;
        if there.len() > 1 {
            text += &map::print(&package.name, &draw(&arrows, &there, listed));
        }
    }
    println!("{text}```");
    Ok(())
}

fn read_map() -> Result<Map> {
    let text = fs::read_to_string(paths::root().join(MAP)).with_context(|| format!("cannot read {MAP}"))?;
    map::parse(&text).context(MAP)
}

/// The arrows of a crate, and its rooms.
fn look(package: &Package, rooms: &Rooms) -> Result<(Arrows, BTreeSet<String>)> {
    let read = |file: &std::path::Path| fs::read_to_string(paths::root().join(file)).ok();
    let source = Source::read(&package.roots, &read)?;
    let names = rooms.keys().cloned().collect();
    let name = package.name.replace('-', "_");
    let one = Crate { source: &source, roots: &package.roots, name: &name, rooms: &names };
    let arrows = one.arrows();
    let rooms = one.all_rooms(&arrows);
    Ok((arrows, rooms))
}

fn draw(arrows: &Arrows, there: &BTreeSet<String>, listed: &Rooms) -> Rooms {
    let used = |room: &str| -> BTreeSet<String> {
        arrows.keys().filter(|arrow| arrow.from == room).map(|arrow| arrow.to.clone()).collect()
    };
    let rooms = there.iter().map(|room| {
        let is_all = listed.get(room).is_some_and(|allowed| allowed.rooms.contains(map::ALL));
        let rooms = if is_all { BTreeSet::from([map::ALL.to_owned()]) } else { used(room) };
        (room.clone(), Allowed { line: 0, rooms })
    });
    rooms.collect()
}
