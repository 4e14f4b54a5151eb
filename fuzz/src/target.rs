//! What a target is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::mutate;

/// Something that takes bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name; also of its folder in `seeds/` and of its file in `libfuzzer/fuzz_targets/`.
    pub name: &'static str,
    /// Takes the bytes; panics if it finds something wrong.
    pub run: fn(&[u8]),
    /// Bytes to begin from, beside those in `seeds/`.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Changes bytes so that they are still worth trying; keeps them below that length.
    pub mutate: fn(&mut Vec<u8>, usize, &mut mutate::Rng),
}

impl Target {
    /// A target whose bytes have no form that is worth keeping.
    pub(crate) const fn of_bytes(name: &'static str, run: fn(&[u8])) -> Self {
        Self { name, run, seeds: Vec::new, mutate: mutate::bytes }
    }

    /// All bytes to begin from, with their names.
    #[must_use]
    pub fn all_seeds(&self) -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<_> =
            (self.seeds)().into_iter().enumerate().map(|(n, s)| (format!("seed-{n}"), s)).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(self.name);
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.extend(fs::read(&file).ok().map(|bytes| (name, bytes)));
        }
        all
    }
}
