//! Which room uses which: the paths of a crate, followed to the modules that they lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::source::{Module, Root, Source, Use};

/// Most names that are followed from one root file to another.
const MOST_NAMES: usize = 8;

/// A room uses another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: String,
    pub(super) to: String,
}

/// Where a room uses another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    /// The path as written.
    pub(super) path: String,
}

/// All arrows of a crate, each with its places.
pub(super) type Arrows = BTreeMap<Arrow, Vec<Place>>;

/// A crate with its rooms.
pub(super) struct Crate<'a> {
    pub(super) source: &'a Source,
    pub(super) roots: &'a [Root],
    /// Its name in paths: that is how `main.rs` calls the library beside it.
    pub(super) name: &'a str,
    /// The rooms of the map.
    pub(super) rooms: &'a BTreeSet<String>,
}

impl Crate<'_> {
    /// The arrows between different rooms.
    pub(super) fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for one in self.source.uses.iter().filter(|one| !self.is_index(one)) {
            let Some(target) = self.target(&one.from, &one.segments, 0) else { continue };
            let arrow = Arrow { from: self.room(&one.from), to: self.room(&target) };
            let place = Place { file: one.file.clone(), line: one.line, path: one.segments.join("::") };
            let places = arrows.entry(arrow).or_default();
            // One complaint a line is enough.
            if !places.iter().any(|other| other.file == place.file && other.line == place.line) {
                places.push(place);
            }
        }
        arrows.retain(|arrow, _| arrow.from != arrow.to);
        arrows
    }

    /// All rooms: those of the map that have code, modules of the top floor that it does not have, and the root files
    /// if they have arrows.
    pub(super) fn all_rooms(&self, arrows: &Arrows) -> BTreeSet<String> {
        let modules = self.source.modules.iter().filter(|module| self.root(module).is_none());
        let used = arrows.keys().flat_map(|arrow| [&arrow.from, &arrow.to]);
        modules.map(|module| self.room(module)).chain(used.cloned()).collect()
    }

    /// `pub use` in a root file is the index of the crate, and no room that uses another one.
    fn is_index(&self, one: &Use) -> bool {
        one.is_export && self.root(&one.from).is_some()
    }

    fn root(&self, module: &[String]) -> Option<&Root> {
        self.roots.iter().find(|root| root.module == module)
    }

    /// The room of a module: the longest name of the map that it begins with.
    pub(super) fn room(&self, module: &[String]) -> String {
        if let Some(root) = self.root(module) {
            return root.room.to_owned();
        }
        let names = (1..=module.len()).rev().map(|length| module[..length].join("::"));
        let top = || module.first().cloned().unwrap_or_default();
        names.into_iter().find(|name| self.rooms.contains(name)).unwrap_or_else(top)
    }

    /// The module that a path leads to, if it is one of this crate.
    fn target(&self, from: &[String], path: &[String], depth: usize) -> Option<Module> {
        let (mut module, mut rest) = self.begin(from, path)?;
        loop {
            let [next, after @ ..] = rest else { return Some(module) };
            let child = [module.as_slice(), std::slice::from_ref(next)].concat();
            if self.source.modules.contains(&child) {
                (module, rest) = (child, after);
                continue;
            }
            // A root file gives names to what lies in rooms: the arrow leads there.
            let named = self.source.root_names.get(&(module.clone(), next.clone()));
            let named = named.filter(|_| depth < MOST_NAMES && self.root(&module).is_some());
            return named.map_or(Some(module.clone()), |path| self.target(&module, path, depth + 1));
        }
    }

    /// Where a path begins, and what of it is left.
    fn begin<'p>(&self, from: &[String], path: &'p [String]) -> Option<(Module, &'p [String])> {
        let (first, mut rest) = path.split_first()?;
        let mut module = from.to_vec();
        match first.as_str() {
            "crate" => {
                let roots = self.roots.iter().map(|root| &root.module);
                let root = roots.filter(|root| from.starts_with(root)).max_by_key(|root| root.len())?;
                return Some((root.clone(), rest));
            }
            "self" => {}
            "super" => {
                module.pop()?;
                while let [next, after @ ..] = rest
                    && next == "super"
                {
                    module.pop()?;
                    rest = after;
                }
            }
            name if name == self.name && self.root(&[]).is_some_and(|root| root.room == "lib") => {
                return Some((Module::new(), rest));
            }
            name => {
                module.push(name.to_owned());
                self.source.modules.contains(&module).then_some(())?;
            }
        }
        Some((module, rest))
    }
}
