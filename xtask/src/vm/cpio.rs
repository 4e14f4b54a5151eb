//! An archive as the kernel unpacks it at boot: cpio, format "newc" (`Documentation/driver-api/early-userspace`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Component, Path};

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive that is being written; everything in it belongs to root.
pub(super) struct Archive<W: Write> {
    to: W,
    number: u32,
    written: usize,
    known: BTreeSet<String>,
}

impl Archive<BufWriter<File>> {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self::new(BufWriter::new(file)))
    }
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, number: 0, written: 0, known: BTreeSet::new() }
    }

    /// Whether there is something of this name already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.contains(name.trim_start_matches('/'))
    }

    /// A directory, and those above it.
    pub(super) fn directory(&mut self, name: &str) -> Result<()> {
        let mut path = String::new();
        for part in Path::new(name).components() {
            let Component::Normal(part) = part else { continue };
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&part.to_string_lossy());
            if !self.known.contains(&path) {
                self.entry(&path, DIRECTORY, (0, 0), &[])?;
            }
        }
        Ok(())
    }

    /// A file, with the permissions that it needs.
    pub(super) fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> Result<()> {
        self.parent(name)?;
        self.entry(name, REGULAR | permissions, (0, 0), content)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, name: &str, to: &str) -> Result<()> {
        self.parent(name)?;
        self.entry(name, LINK, (0, 0), to.as_bytes())
    }

    /// A character device.
    pub(super) fn device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.parent(name)?;
        self.entry(name, CHARACTER_DEVICE, (major, minor), &[])
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.to.flush()?)
    }

    fn parent(&mut self, name: &str) -> Result<()> {
        Path::new(name).parent().map_or(Ok(()), |parent| self.directory(&parent.to_string_lossy()))
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        let name = name.trim_start_matches('/');
        if !self.known.insert(name.to_owned()) {
            return Ok(());
        }
        self.number += 1;
        let size = u32::try_from(content.len()).context("a file of 4 GiB or more")?;
        let fields = [
            self.number,
            mode,
            0, // user
            0, // group
            1, // links
            0, // time
            size,
            0, // device that holds the file
            0,
            device.0,
            device.1,
            u32::try_from(name.len() + 1)?,
            0, // checksum, of another format
        ];
        self.write(b"070701")?;
        for field in fields {
            self.write(format!("{field:08x}").as_bytes())?;
        }
        self.write(name.as_bytes())?;
        self.write(b"\0")?;
        self.pad()?;
        self.write(content)?;
        self.pad()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len();
        Ok(self.to.write_all(bytes)?)
    }

    fn pad(&mut self) -> Result<()> {
        let missing = self.written.wrapping_neg() % 4;
        self.write(&[0; 3][..missing])
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_aligned_and_written_once() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("a/b", 0o755, b"hello").unwrap();
        archive.file("/a/b", 0o755, b"again").unwrap();
        assert!(archive.has("/a/b") && archive.has("a") && !archive.has("b"));
        archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        // The directory, the file, the end.
        assert_eq!(text.matches("070701").count(), 3);
        assert!(text.contains("a/b\0") && text.contains("hello") && !text.contains("again"), "{text}");
        let header = text.find("a/b\0").unwrap() - 110;
        assert_eq!(&text[header..header + 22], "07070100000002000081ed");
    }
}
