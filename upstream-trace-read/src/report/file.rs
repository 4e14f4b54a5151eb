//! Writes a report to a file: whole or not at all, for its owner only.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::new_file;

/// How every report of this kind begins.
pub(super) const BEGIN: &str = "<!doctype html>";

/// Writes the file beside its place under a name of its own and moves it there. Of what is there already only an HTML
/// file is replaced; a link is replaced itself, not what it leads to.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    try_write(path, text).with_context(|| format!("cannot write the report to {}", path.display()))
}

fn try_write(path: &Path, text: &str) -> Result<()> {
    if !replaceable(path)? {
        bail!("it exists already and is no HTML report; remove it or choose another name");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".upstream-trace-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Nothing is there, or a report.
fn replaceable(path: &Path) -> Result<bool> {
    let file = match new_file::open(path) {
        Err(error) if is_missing(&error) => return Ok(true),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut begin = Vec::new();
    file.take(BEGIN.len() as u64).read_to_end(&mut begin)?;
    Ok(begin.is_empty() || begin.eq_ignore_ascii_case(BEGIN.as_bytes()))
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_reports_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let refused = |name: &str| format!("{:#}", write(&at(name), "<!doctype html>new").unwrap_err());
        for text in ["<!doctype html>one", "<!doctype html>two"] {
            write(&at("report.html"), text).unwrap();
            assert_eq!(fs::read_to_string(at("report.html")).unwrap(), text);
        }
        assert_eq!(fs::metadata(at("report.html")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(at("precious"), "precious").unwrap();
        assert!(refused("precious").contains("no HTML report"));
        assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
        symlink(at("precious"), at("link")).unwrap();
        assert!(refused("link").contains("symbolic link"));
        assert!(refused("none/such").contains("none/such"));
        fs::create_dir(at("folder")).unwrap();
        assert!(!refused("folder").is_empty());
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".upstream")), "{left:?}");
    }
}
