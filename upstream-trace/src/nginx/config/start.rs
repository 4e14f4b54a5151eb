//! Which configuration a master was started with: its command line, else what was built into its program.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{CommandLine, regular_file};
use crate::nginx::binary::{after, look_through};

/// Paths that are absolute in nginx's own root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// What names of logs are relative to.
    pub(super) prefix: PathBuf,
    /// The main file.
    pub(super) main: PathBuf,
}

/// How a master was started.
pub(super) fn of(pid: u32) -> Option<Start> {
    let cmdline = CommandLine::read(pid)?;
    let (prefix, file) = (cmdline.option('p'), cmdline.option('c'));
    let built = if prefix.is_some() && file.is_some() { Built::default() } else { Built::of(pid) };
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    Some(resolve(&cwd, prefix.as_deref(), file.as_deref(), &built))
}

fn resolve(cwd: &Path, prefix: Option<&str>, file: Option<&str>, built: &Built) -> Start {
    let prefix = cwd.join(prefix.or(built.prefix.as_deref()).unwrap_or("/usr/local/nginx"));
    let main = prefix.join(file.or(built.file.as_deref()).unwrap_or("conf/nginx.conf"));
    Start { prefix, main }
}

/// What `configure` was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Built {
    prefix: Option<String>,
    file: Option<String>,
}

impl Built {
    /// The program carries it as text, for `nginx -V`.
    fn of(pid: u32) -> Self {
        let mut built = Self::default();
        let Ok((program, _)) = regular_file(Path::new(&format!("/proc/{pid}/exe"))) else { return built };
        look_through(program, |piece| {
            built.prefix = built.prefix.take().or_else(|| configured(piece, b" --prefix="));
            built.file = built.file.take().or_else(|| configured(piece, b" --conf-path="));
            built.prefix.is_some() && built.file.is_some()
        });
        built
    }
}

/// The path after an option of `configure`, if it is there to its end.
fn configured(bytes: &[u8], option: &[u8]) -> Option<String> {
    let path = after(bytes, option, |byte| matches!(byte, 0 | b' ' | b'\''))?;
    let path = std::str::from_utf8(path).ok()?;
    path.starts_with('/').then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_prefix() {
        let built = Built {
            prefix: Some("/usr/share/nginx".to_owned()),
            file: Some("/etc/nginx/nginx.conf".to_owned()),
        };
        let at = |prefix, file, built: &Built| {
            resolve(Path::new("/home"), prefix, file, built).main.display().to_string()
        };
        assert_eq!(at(None, None, &built), "/etc/nginx/nginx.conf");
        assert_eq!(at(Some("/lab"), Some("nginx.conf"), &built), "/lab/nginx.conf");
        assert_eq!(at(Some("lab"), Some("a/b.conf"), &built), "/home/lab/a/b.conf");
        assert_eq!(at(None, Some("b.conf"), &built), "/usr/share/nginx/b.conf");
        assert_eq!(at(None, None, &Built::default()), "/usr/local/nginx/conf/nginx.conf");
    }

    #[test]
    fn what_was_built_in() {
        let program = b"\0x --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf --with-x\0";
        assert_eq!(configured(program, b" --conf-path=").as_deref(), Some("/etc/nginx/nginx.conf"));
        assert_eq!(configured(b" --prefix=relative ", b" --prefix="), None);
        assert_eq!(configured(b" --prefix=/cut", b" --prefix="), None);
    }
}
