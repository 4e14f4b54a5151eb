//! Compares the arrows of a crate with the map.

use std::collections::{BTreeMap, BTreeSet};

use super::arrows::{Arrow, Arrows, Place};
use super::map::{ALL, Rooms};

/// What is wrong, a line each. `there` are the rooms that have code, `map` is the name of the file with the map.
pub(super) fn check(arrows: &Arrows, there: &BTreeSet<String>, rooms: &Rooms, map: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for room in there.iter().filter(|room| !rooms.contains_key(*room)) {
        wrong.push(format!("{map}: the room {room} is not on the map"));
    }
    wrong.extend(not_allowed(arrows, rooms));
    wrong.extend(not_true(arrows, there, rooms, map));
    wrong.extend(cycles(arrows));
    wrong
}

fn not_allowed(arrows: &Arrows, rooms: &Rooms) -> Vec<String> {
    let mut wrong = Vec::new();
    for (Arrow { from, to }, places) in arrows {
        let Some(allowed) = rooms.get(from).filter(|allowed| !allowed.has(to)) else { continue };
        let may = match allowed.rooms.iter().cloned().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "no other room".to_owned(),
            some => some,
        };
        wrong.extend(places.iter().map(|place| {
            let Place { file, line, path } = place;
            format!("{}:{line}: {from} may not use {to} ({path}); it may use: {may}", file.display())
        }));
    }
    wrong
}

/// Rooms and arrows of the map that the code does not have.
fn not_true(arrows: &Arrows, there: &BTreeSet<String>, rooms: &Rooms, map: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (from, allowed) in rooms {
        let line = allowed.line;
        if !there.contains(from) {
            wrong.push(format!("{map}:{line}: there is no module {from}"));
            continue;
        }
        for to in allowed.rooms.iter().filter(|to| *to != ALL) {
            let arrow = Arrow { from: from.clone(), to: to.clone() };
            if !rooms.contains_key(to) {
                wrong.push(format!("{map}:{line}: {from} -> {to}: the room {to} is not on the map"));
            } else if !arrows.contains_key(&arrow) {
                wrong.push(format!("{map}:{line}: {from} -> {to}: {from} does not use {to}"));
            }
        }
    }
    wrong
}

/// Rooms that use each other, one way round for each group of them.
fn cycles(arrows: &Arrows) -> Vec<String> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Arrow { from, to } in arrows.keys() {
        next.entry(from).or_default().insert(to);
    }
    let mut told = BTreeSet::new();
    let mut wrong = Vec::new();
    for start in next.keys() {
        if told.contains(start) {
            continue;
        }
        let Some(way) = way_back(start, &next) else { continue };
        told.extend(way.iter().copied());
        let step = |pair: &[&str]| {
            let arrow = Arrow { from: pair[0].to_owned(), to: pair[1].to_owned() };
            let place = arrows.get(&arrow).and_then(|places| places.first());
            place.map_or_else(String::new, |Place { file, line, path }| {
                format!("\n    {} -> {}: {}:{line}: {path}", arrow.from, arrow.to, file.display())
            })
        };
        let steps: String = way.windows(2).map(step).collect();
        wrong.push(format!("rooms use each other: {}{steps}", way.join(" -> ")));
    }
    wrong
}

/// The shortest way from a room back to itself: the room, those between, the room.
fn way_back<'a>(start: &'a str, next: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for &room in way.last().and_then(|last| next.get(last)).into_iter().flatten() {
                let way = [way.as_slice(), &[room]].concat();
                if room == start {
                    return Some(way);
                }
                if seen.insert(room) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::map::parse;
    use super::*;

    fn arrows(list: &[(&str, &str)]) -> Arrows {
        let arrow = |&(from, to): &(&str, &str)| {
            let place =
                Place { file: format!("src/{from}.rs").into(), line: 7, path: format!("crate::{to}") };
            (Arrow { from: from.to_owned(), to: to.to_owned() }, vec![place])
        };
        list.iter().map(arrow).collect()
    }

    fn complaints(list: &[(&str, &str)], there: &[&str], block: &str) -> Vec<String> {
        let map = parse(&format!("```rooms\none\n{block}```\n")).unwrap();
        check(&arrows(list), &there.iter().map(|&room| room.to_owned()).collect(), &map["one"], "MAP")
    }

    #[test]
    fn what_is_on_the_map_is_allowed() {
        let there = ["main", "live", "output"];
        let used = [("main", "live"), ("main", "output"), ("live", "output")];
        assert_eq!(complaints(&used, &there, "  main -> *\n  live -> output\n  output\n"), [""; 0]);
    }

    #[test]
    fn a_wrong_arrow_names_its_place_and_what_is_allowed() {
        let found = complaints(
            &[("live", "output"), ("live", "nginx")],
            &["live", "nginx", "output"],
            "  live -> output\n  nginx\n  output\n",
        );
        assert_eq!(found, ["src/live.rs:7: live may not use nginx (crate::nginx); it may use: output"]);
        let found = complaints(&[("a", "b")], &["a", "b"], "  a\n  b\n");
        assert_eq!(found, ["src/a.rs:7: a may not use b (crate::b); it may use: no other room"]);
    }

    #[test]
    fn the_map_stays_true() {
        let found = complaints(&[], &["a", "b", "new"], "  a -> b, c\n  b\n  gone\n");
        assert_eq!(
            found,
            [
                "MAP: the room new is not on the map",
                "MAP:3: a -> b: a does not use b",
                "MAP:3: a -> c: the room c is not on the map",
                "MAP:5: there is no module gone",
            ]
        );
    }

    #[test]
    fn rooms_that_use_each_other_are_found_though_the_map_allows_it() {
        let used = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")];
        let found = complaints(&used, &["a", "b", "c", "d"], "  a -> b\n  b -> c\n  c -> a\n  d -> a\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("rooms use each other: a -> b -> c -> a\n"), "{}", found[0]);
        assert!(found[0].contains("\n    c -> a: src/c.rs:7: crate::a"), "{}", found[0]);
    }
}
