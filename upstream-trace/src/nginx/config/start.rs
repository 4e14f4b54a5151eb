//! Which configuration a master was started with: its command line, else what was built into its program.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::host::CommandLine;

/// Bytes of the program that are looked through.
const PROGRAM: u64 = 256 << 20;
/// Read at a time.
const CHUNK: usize = 1 << 20;
/// Longest path that is looked for there.
const LONGEST: usize = 4_096;

/// Path of the main file, absolute in nginx's own root.
pub(super) fn main_file(pid: u32) -> Option<PathBuf> {
    let cmdline = CommandLine::read(pid)?;
    let (prefix, file) = (cmdline.option('p'), cmdline.option('c'));
    let built = if prefix.is_some() && file.is_some() { Built::default() } else { Built::of(pid) };
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    Some(resolve(&cwd, prefix.as_deref(), file.as_deref(), &built))
}

fn resolve(cwd: &Path, prefix: Option<&str>, file: Option<&str>, built: &Built) -> PathBuf {
    let prefix = cwd.join(prefix.or(built.prefix.as_deref()).unwrap_or("/usr/local/nginx"));
    prefix.join(file.or(built.file.as_deref()).unwrap_or("conf/nginx.conf"))
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
        let Ok(program) = File::open(format!("/proc/{pid}/exe")) else { return Self::default() };
        let mut program = program.take(PROGRAM);
        let mut built = Self::default();
        let mut buffer = Vec::with_capacity(CHUNK + LONGEST);
        while built.prefix.is_none() || built.file.is_none() {
            let begin = buffer.len();
            buffer.resize(begin + CHUNK, 0);
            let Ok(count) = program.read(&mut buffer[begin..]) else { break };
            buffer.truncate(begin + count);
            built.prefix = built.prefix.or_else(|| told(&buffer, b" --prefix="));
            built.file = built.file.or_else(|| told(&buffer, b" --conf-path="));
            if count == 0 {
                break;
            }
            buffer.drain(..buffer.len().saturating_sub(LONGEST));
        }
        built
    }
}

/// The path after an option of `configure`, if it is there to its end.
fn told(bytes: &[u8], option: &[u8]) -> Option<String> {
    let at = bytes.windows(option.len()).position(|window| window == option)? + option.len();
    let rest = &bytes[at..];
    let end = rest.iter().position(|byte| matches!(byte, 0 | b' ' | b'\''))?;
    let path = std::str::from_utf8(&rest[..end]).ok()?;
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
            resolve(Path::new("/home"), prefix, file, built).display().to_string()
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
        assert_eq!(told(program, b" --conf-path=").as_deref(), Some("/etc/nginx/nginx.conf"));
        assert_eq!(told(b" --prefix=relative ", b" --prefix="), None);
        assert_eq!(told(b" --prefix=/cut", b" --prefix="), None);
    }
}
