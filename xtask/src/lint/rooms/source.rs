//! Reads the modules of a crate, and every path in them that may lead to another module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Context as _, Result};

use super::visit::Visitor;

/// A module, as its path from the root of its crate.
pub(super) type Module = Vec<String>;

/// A root file of a crate: `lib.rs` or `main.rs`.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// The module that its file is. That of a `main.rs` beside a `lib.rs` is `main`, so that both fit in one tree.
    pub(super) module: Module,
    /// The room of its own items: `lib` or `main`.
    pub(super) room: &'static str,
    pub(super) file: PathBuf,
}

/// A path in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The module that it stands in.
    pub(super) from: Module,
    /// As written, without names of groups: `crate`, `a`, `B`.
    pub(super) segments: Vec<String>,
    pub(super) file: PathBuf,
    pub(super) line: usize,
    /// Whether it only gives a name to others: `pub use`.
    pub(super) is_export: bool,
}

/// A crate taken apart.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Every module that is not only for tests.
    pub(super) modules: BTreeSet<Module>,
    pub(super) uses: Vec<Use>,
    /// What a root file imports: name, path. Another module may use that name.
    pub(super) root_names: BTreeMap<(Module, String), Vec<String>>,
}

/// Gives the text of a file, if there is one.
pub(super) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Source {
    /// Reads all that these files declare.
    pub(super) fn read(roots: &[Root], read: Read) -> Result<Self> {
        let mut source = Self::default();
        for root in roots {
            let dir = root.file.parent().unwrap_or(Path::new("")).to_owned();
            source.file(read, &root.module, &root.file, &dir)?;
        }
        Ok(source)
    }

    /// Reads the file of a module, whose own modules lie in `dir`.
    fn file(&mut self, read: Read, module: &Module, file: &Path, dir: &Path) -> Result<()> {
        let text = read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let parsed = syn::parse_file(&text);
        let parsed = parsed
            .map_err(|error| anyhow::anyhow!("{}:{}: {error}", file.display(), error.span().start().line))?;
        self.modules.insert(module.clone());
        let children = Visitor::visit_file(self, module, file, dir, &parsed);
        for child in children {
            let places = match &child.path {
                Some(path) => vec![file.with_file_name(path)],
                None => vec![
                    child.dir.join(format!("{}.rs", child.name)),
                    child.dir.join(&child.name).join("mod.rs"),
                ],
            };
            let place = places.iter().find(|place| read(place).is_some());
            let place = place.with_context(|| {
                format!("{}:{}: the module {} has no file", file.display(), child.line, child.name)
            })?;
            let path = [child.module.as_slice(), slice::from_ref(&child.name)].concat();
            self.file(read, &path, place, &child.dir.join(&child.name))?;
        }
        Ok(())
    }
}
