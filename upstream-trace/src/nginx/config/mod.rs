//! nginx's configuration, as far as upstreams go. Its files are read, and nothing is run: `nginx -T` would open logs.
//!
//! What cannot be read is told, and nothing else depends on it.

mod address;
mod facts;
mod files;
pub mod fuzz;
mod start;
mod syntax;

use std::path::Path;
use std::time::Duration;

use upstream_trace_core::event::{Config, Nanos};

use crate::host::started_at;
use files::Files;

/// Start times of processes are known to a tick, and files may have been written in the second before a reload.
const SLACK: Duration = Duration::from_secs(1);

/// Reads the configuration of a master, for these workers of it.
///
/// # Errors
/// With the reason, for people, if there is nothing to read.
pub fn read(master: u32, workers: &[u32], at: Nanos) -> Result<Config, String> {
    let main = start::main_file(master).ok_or_else(|| format!("process {master} is gone"))?;
    let mut files = Files::of(master).map_err(|error| format!("the root of process {master}: {error}"))?;
    let directives = files.read(&main);
    let hosts = Files::of(master).and_then(|mut files| files.text(Path::new("/etc/hosts")));
    let hosts = hosts.unwrap_or_default();
    Ok(facts(&main, &files, &directives, &hosts, workers, at))
}

fn facts(
    main: &Path,
    files: &Files,
    directives: &[files::Placed],
    hosts: &str,
    workers: &[u32],
    at: Nanos,
) -> Config {
    let unchanged = |worker: &u32| match (files.changed, started_at(*worker)) {
        (Some(changed), Some(started)) => changed <= started + SLACK,
        _ => false,
    };
    let (current, older): (Vec<_>, Vec<_>) = workers.iter().partition(|worker| unchanged(worker));
    let edited = current.is_empty();
    Config {
        at,
        file: main.to_string_lossy().into_owned(),
        unread: files.unread.clone(),
        edited,
        workers: if edited { older.clone() } else { current },
        older: if edited { Vec::new() } else { older },
        ..facts::of(directives, &address::names(hosts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::time::SystemTime;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("nginx-config-{name}-{}", std::process::id()));
            let _left_over = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("sites")).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }

        fn read(&self) -> Config {
            let own = std::process::id();
            let (main, mut files) = (self.0.join("nginx.conf"), Files::of(own).unwrap());
            let directives = files.read(&main);
            facts(&main, &files, &directives, "", &[own], 1)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn included_files_are_read_in_order_and_relative_to_the_main_one() {
        let folder = Folder::new("includes");
        folder.write("nginx.conf", "http {\n include sites/*.conf;\n include groups;\n}\n");
        folder.write("groups", "upstream a { server 10.0.0.1:1; }");
        folder.write("sites/b.conf", "server { location /b { proxy_pass http://a; } }");
        folder.write("sites/a.conf", "server { location /a { proxy_pass http://a; } }");
        folder.write("sites/.hidden.conf", "nonsense");
        folder.write("sites/other", "nonsense");
        symlink("other", folder.0.join("sites/none.confx")).unwrap();
        let read = folder.read();
        assert_eq!(read.unread, None);
        let places: Vec<_> = read.passes.iter().map(|pass| pass.location.clone().unwrap()).collect();
        assert_eq!((places, read.groups.len()), (vec!["/a".to_owned(), "/b".to_owned()], 1));
        assert!(read.passes.iter().all(|pass| pass.group.as_deref() == Some("a")));
        assert!(read.passes[0].place.ends_with("/sites/a.conf:1"), "{}", read.passes[0].place);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_counts() {
        let folder = Folder::new("broken");
        folder.write("nginx.conf", "http {\n include missing;\n upstream a { server 10.0.0.1:1; }\n}\n");
        let read = folder.read();
        assert!(read.unread.as_ref().is_some_and(|unread| unread.contains("missing")), "{:?}", read.unread);
        assert_eq!(read.groups.len(), 1);
        folder.write("nginx.conf", "http {\n upstream a { server 10.0.0.1:1; } }\n } x");
        assert!(folder.read().unread.is_some_and(|unread| unread.ends_with("nginx.conf:3 makes no sense")));
        folder.write("nginx.conf", "include sites;");
        assert!(folder.read().unread.is_some_and(|unread| unread.contains("not a file")));
    }

    #[test]
    fn files_that_include_each_other_end() {
        let folder = Folder::new("circle");
        folder.write("nginx.conf", "include nginx.conf; include nginx.conf;");
        assert!(folder.read().unread.is_some_and(|unread| unread.contains("too many files")));
    }

    #[test]
    fn a_file_that_changed_after_the_worker_began_may_not_be_its_own() {
        let folder = Folder::new("edited");
        folder.write("nginx.conf", "");
        let set = |changed: SystemTime| {
            let file = fs::File::options().write(true).open(folder.0.join("nginx.conf")).unwrap();
            file.set_modified(changed).unwrap();
        };
        let now = SystemTime::now();
        for (changed, edited) in
            [(now - Duration::from_hours(1), false), (now + Duration::from_mins(1), true)]
        {
            set(changed);
            let read = folder.read();
            assert_eq!((read.edited, &read.workers[..]), (edited, &[std::process::id()][..]));
        }
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert!(read(u32::MAX, &[], 1).is_err());
    }
}
