//! The map in ARCHITECTURE.md: which room of a crate may use which.
//!
//! It is the fenced block whose info string is `rooms`. A line that begins at the margin names a crate; the indented
//! lines below it are its rooms, each with the rooms that it may use:
//!
//! ```text
//! upstream-trace
//!   main -> *
//!   live -> kernel, output,
//!       nginx
//!   output
//! ```
//!
//! A room is a module (`live`) or a module within one (`engine::stores`), with all modules below it that are not rooms
//! themselves. `lib` and `main` are the root files. `*` stands for all rooms. A line that ends in a comma goes on in the
//! next; a room without an arrow uses none; `#` begins a comment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

/// Info string of the block.
const INFO: &str = "```rooms";

/// Stands for all rooms.
pub(super) const ALL: &str = "*";

/// What a room may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Line of the file that says so, from 1.
    pub(super) line: usize,
    /// Names of rooms, or [`ALL`].
    pub(super) rooms: BTreeSet<String>,
}

impl Allowed {
    pub(super) fn has(&self, room: &str) -> bool {
        self.rooms.contains(room) || self.rooms.contains(ALL)
    }
}

/// The rooms of a crate.
pub(super) type Rooms = BTreeMap<String, Allowed>;

/// The map: the rooms of each crate.
pub(super) type Map = BTreeMap<String, Rooms>;

/// Reads the block of a document; the errors name the line.
pub(super) fn parse(document: &str) -> Result<Map> {
    let mut map = Map::new();
    let mut crate_name = None;
    let mut unfinished: Option<(usize, String)> = None;
    for (line, text) in block(document)? {
        let text = text.split('#').next().unwrap_or_default().trim_end();
        if text.is_empty() {
            continue;
        }
        if unfinished.is_none() && !text.starts_with(char::is_whitespace) {
            ensure!(!map.contains_key(text), "line {line}: the crate {text} is there already");
            map.insert(text.to_owned(), Rooms::new());
            crate_name = Some(text.to_owned());
            continue;
        }
        let (line, text) = match unfinished.take() {
            Some((first, before)) => (first, format!("{before} {}", text.trim())),
            None => (line, text.trim().to_owned()),
        };
        if text.ends_with(',') {
            unfinished = Some((line, text));
            continue;
        }
        let rooms = crate_name.as_ref().and_then(|name| map.get_mut(name));
        let rooms = rooms.with_context(|| format!("line {line}: no crate stands above this room"))?;
        let (room, allowed) = room(line, &text)?;
        ensure!(!rooms.contains_key(&room), "line {line}: the room {room} is there already");
        rooms.insert(room, allowed);
    }
    if let Some((line, _)) = unfinished {
        bail!("line {line}: nothing follows the last comma");
    }
    Ok(map)
}

/// The lines of the block, with their numbers.
fn block(document: &str) -> Result<Vec<(usize, &str)>> {
    let mut lines = document.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.find(|(_, line)| line.trim_end() == INFO).with_context(|| format!("there is no block {INFO}"))?;
    let mut block = Vec::new();
    for (number, line) in lines {
        if line.starts_with("```") {
            return Ok(block);
        }
        block.push((number, line));
    }
    bail!("the block {INFO} does not end")
}

fn room(line: usize, text: &str) -> Result<(String, Allowed)> {
    let (room, rooms) = text.split_once("->").unwrap_or((text, ""));
    let rooms: BTreeSet<String> =
        rooms.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let room = room.trim().to_owned();
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':');
    let wrong = rooms.iter().filter(|name| *name != ALL).chain([&room]).find(|name| !is_name(name));
    if let Some(wrong) = wrong {
        bail!("line {line}: not a room: {wrong:?}");
    }
    Ok((room, Allowed { line, rooms }))
}

/// The rooms of a crate as lines of the block.
pub(super) fn print(crate_name: &str, rooms: &Rooms) -> String {
    const WIDTH: usize = 110;
    let mut lines = vec![crate_name.to_owned()];
    for (room, allowed) in rooms {
        let mut line = format!("  {room}");
        for (index, name) in allowed.rooms.iter().enumerate() {
            let next = if index == 0 { format!(" -> {name}") } else { format!(", {name}") };
            if line.len() + next.len() < WIDTH {
                line += &next;
            } else {
                lines.push(line + ",");
                line = format!("      {name}");
            }
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# A\n\n```text\nb\n```\n\n```rooms\none\n  main -> *  # all\n\n  a -> b,\n    c::d\n  b\ntwo\n  a -> b\n```\nx\n";

    #[test]
    fn block_is_read_and_printed() {
        let map = parse(DOCUMENT).unwrap();
        assert_eq!(map.keys().collect::<Vec<_>>(), ["one", "two"]);
        let one = &map["one"];
        assert_eq!(one["a"], Allowed { line: 11, rooms: ["b", "c::d"].map(str::to_owned).into() });
        assert!(one["main"].has("c::d") && one["a"].has("b") && !one["a"].has("main") && !one["b"].has("a"));
        let text = format!("```rooms\n{}```\n", print("one", one));
        let names = |rooms: &Rooms| -> Vec<_> {
            rooms.iter().map(|(room, allowed)| (room.clone(), allowed.rooms.clone())).collect()
        };
        assert_eq!(names(&parse(&text).unwrap()["one"]), names(one));
    }

    #[test]
    fn long_lines_are_broken_and_read_again() {
        let rooms: BTreeSet<String> = (0..40).map(|n| format!("room_{n}")).collect();
        let all = Rooms::from([("a".to_owned(), Allowed { line: 3, rooms })]);
        let text = print("one", &all);
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= 112), "{text}");
        assert_eq!(parse(&format!("```rooms\n{text}```")).unwrap()["one"], all);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (block, expected) in [
            ("one\n  a ->  b c\n", "line 3: not a room: \"b c\""),
            ("  a -> b\n", "line 2: no crate"),
            ("one\n  a\n  a\n", "line 4: the room a is there already"),
            ("one\none\n", "line 3: the crate one is there already"),
            ("one\n  a -> b,\n", "line 3: nothing follows"),
        ] {
            let error = parse(&format!("```rooms\n{block}```\n")).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(parse("```text\n```").is_err());
        assert!(parse("```rooms\none\n").is_err());
    }
}
