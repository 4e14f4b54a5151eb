//! From sources to arrows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::arrows::Crate;
use super::packages::roots;
use super::source::Source;

/// The arrows of a crate called `one` that has these files, as `from -> to: file:line`.
fn arrows(files: &[(&str, &str)], rooms: &[&str]) -> Vec<String> {
    let files: BTreeMap<&Path, &str> = files.iter().map(|&(file, text)| (Path::new(file), text)).collect();
    let file = |name: &str| files.contains_key(Path::new(name)).then(|| name.into());
    let tops = roots(file("lib.rs"), file("main.rs"));
    let source = Source::read(&tops, &|file| files.get(file).map(|&text| text.to_owned())).unwrap();
    let rooms: BTreeSet<String> = rooms.iter().map(|&room| room.to_owned()).collect();
    let one = Crate { source: &source, roots: &tops, name: "one", rooms: &rooms };
    let arrows = one.arrows();
    let shown = arrows.iter().flat_map(|(arrow, places)| {
        places.iter().map(move |place| {
            format!("{} -> {}: {}:{}", arrow.from, arrow.to, place.file.display(), place.line)
        })
    });
    shown.collect()
}

/// Two rooms `a` and `b`, and what `a` holds.
fn of_a(text: &str) -> Vec<String> {
    arrows(&[("lib.rs", "mod a; mod b;"), ("a.rs", text), ("b.rs", "pub mod deep {}")], &["a", "b"])
}

#[test]
fn every_way_to_name_another_room() {
    for text in [
        "use crate::b::X;",
        "use crate::b;",
        "use crate::{b::{self, Y}};",
        "use super::b as c;",
        "pub(crate) use super::{b::*};",
        "fn f() { crate::b::f(); }",
        "fn f(x: &super::b::X<u8>) {}",
        "fn f() { use crate::b::deep; }",
        "mod c { use super::super::b::X; }",
        "type T = <crate::b::X as Iterator>::Item;",
        "fn f() { println!(\"{}\", crate::b::f()); }",
        "macro_rules! m { () => { $crate::b::f() } }",
        "#[serde(with = \"crate::b::deep\")] struct S;",
        "#[cfg(not(test))] use crate::b::X;",
        "#[cfg(any(test, unix))] use crate::b::X;",
        "crate::b::declare!();",
    ] {
        assert_eq!(of_a(text), ["a -> b: a.rs:1"], "{text}");
    }
}

#[test]
fn what_leads_nowhere_else() {
    for text in [
        "// use crate::b;\nfn f() -> &'static str { \"crate::b\" }",
        "//! [`crate::b`]\n/// [b](crate::b)\nfn f() {}",
        "#[cfg(test)] use crate::b;",
        "#[cfg(test)] mod tests { use crate::b; }",
        "#[cfg(all(test, unix))] fn f() { crate::b::f(); }",
        "#[test] fn f() { crate::b::f(); }",
        "use std::b::X; use ::b::X;",
        "use b::X; fn f() { b::f(); x.b::<u8>(); }",
        "pub(in crate::b) fn f() {}",
        "mod b {} use b::X;",
        "use crate::a::X;",
    ] {
        assert_eq!(of_a(text), [""; 0], "{text}");
    }
}

#[test]
fn files_of_modules_are_found() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod inner;"),
        ("a/inner.rs", "mod x;"),
        ("a/inner/x.rs", "\nuse super::super::super::b;"),
        ("b.rs", ""),
    ];
    assert_eq!(arrows(&files, &["a", "b"]), ["a -> b: a/inner/x.rs:2"]);
    let missing = Source::read(&roots(Some("lib.rs".into()), None), &|file| {
        (file == Path::new("lib.rs")).then(|| "mod a;".to_owned())
    });
    assert_eq!(missing.unwrap_err().to_string(), "lib.rs:1: the module a has no file");
}

#[test]
fn rooms_within_rooms() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod s; mod t; use s::X;"),
        ("a/s.rs", ""),
        ("a/t.rs", "use super::s::X;"),
    ];
    assert_eq!(arrows(&files, &["a"]), [""; 0]);
    assert_eq!(arrows(&files, &["a", "a::s"]), ["a -> a::s: a.rs:1", "a -> a::s: a/t.rs:1"]);
}

#[test]
fn root_files() {
    let library = ("lib.rs", "pub mod a; pub mod b; pub use b::X; pub const N: u8 = 1;");
    let files = [library, ("a.rs", "use crate::X;\nuse crate::N;"), ("b.rs", "")];
    assert_eq!(arrows(&files, &[]), ["a -> b: a.rs:1", "a -> lib: a.rs:2"]);
    let program = ("main.rs", "mod own; use one::a;\nfn main() { one::X::new(); crate::own::f(); }");
    let files = [library, ("a.rs", ""), ("b.rs", ""), program, ("own.rs", "use crate::helper;")];
    assert_eq!(arrows(&files, &["main"]), ["main -> a: main.rs:1", "main -> b: main.rs:2"]);
    let alone = [("main.rs", "mod a; mod b; fn main() { a::f(); }"), ("a.rs", "use crate::b;"), ("b.rs", "")];
    assert_eq!(arrows(&alone, &[]), ["a -> b: a.rs:1", "main -> a: main.rs:1"]);
}
