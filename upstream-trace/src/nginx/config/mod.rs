//! nginx's configuration, as far as upstreams go. Its files are read, and nothing is run: `nginx -T` would open logs.
//!
//! What cannot be read is told, and nothing else depends on it.

mod address;
mod facts;
mod files;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod outputs;
mod start;
mod syntax;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use caps::Capability;
use upstream_trace_core::event::{Config, Nanos};

use super::version;
use crate::host::{privileges, started_at};
use files::Files;
use start::Start;

/// Start times of processes are known to a tick, and files may have been written in the second before a reload.
const SLACK: Duration = Duration::from_secs(1);

/// Reads the configuration of a master, for these workers of it: on a thread that gives up, before it reads anything,
/// all rights but the one to read files, since others may have written them. Waits for it.
///
/// # Errors
/// With the reason, for people, if there is nothing to read.
pub fn read(master: u32, workers: &[u32], at: Nanos) -> Result<Config, String> {
    thread::scope(|scope| {
        let reader = thread::Builder::new().name("nginx-config".to_owned());
        let reader = reader.spawn_scoped(scope, || read_with_few_rights(master, workers, at));
        let reader = reader.map_err(|error| format!("no thread to read it: {error}"))?;
        reader.join().map_err(|_| "reading it failed".to_owned())?
    })
}

fn read_with_few_rights(master: u32, workers: &[u32], at: Nanos) -> Result<Config, String> {
    let keep = |rights: &[Capability]| {
        privileges::keep_on_this_thread(rights).map_err(|error| format!("cannot give up rights: {error:#}"))
    };
    keep(&[Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH])?;
    let start = start::of(master).ok_or_else(|| format!("process {master} is gone"))?;
    let pools = version::versions([master].into_iter()).iter().any(|found| version::pools_by_default(found));
    let mut files = Files::of(master).map_err(|error| format!("the root of process {master}: {error}"))?;
    keep(&[Capability::CAP_DAC_READ_SEARCH])?;
    let directives = files.read(&start.main);
    let (unread, changed) = (files.unread.clone(), files.changed);
    let hosts = files.text(Path::new("/etc/hosts")).unwrap_or_default();
    (files.unread, files.changed) = (unread, changed);
    let mut config = facts(&start, &files, &directives, &hosts, workers, at);
    if pools {
        pooled(&mut config);
    }
    Ok(config)
}

/// What holds for groups that say nothing of it, from nginx 1.29.7 on.
fn pooled(config: &mut Config) {
    const KEPT: u32 = 32;
    for group in config.groups.iter_mut().filter(|group| !group.stream) {
        if group.keepalive.is_none() {
            (group.keepalive, group.pool_per_location) = (Some(KEPT), true);
        }
    }
}

fn facts(
    start: &Start,
    files: &Files,
    directives: &[files::Placed],
    hosts: &str,
    workers: &[u32],
    at: Nanos,
) -> Config {
    let unchanged = |worker: &u32| match (files.changed, started_at(*worker)) {
        (Some(changed), Some(started)) => changed <= started + SLACK,
        // Of a file that was not read, that is what is to be told.
        (changed, _) => changed.is_none(),
    };
    let (current, older): (Vec<_>, Vec<_>) = workers.iter().partition(|worker| unchanged(worker));
    let edited = current.is_empty();
    let known = !edited && files.unread.is_none();
    Config {
        at,
        outputs: known
            .then(|| Arc::new(outputs::of(directives, &|name| files.place(&start.prefix.join(name))))),
        file: start.main.to_string_lossy().into_owned(),
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
    use upstream_trace_core::event::Group;

    #[test]
    fn groups_that_say_nothing_keep_connections() {
        let group = |stream, keepalive| Group { stream, keepalive, ..Group::default() };
        let groups = vec![group(false, None), group(false, Some(0)), group(true, None)];
        let mut config = Config { groups, ..Config::default() };
        pooled(&mut config);
        let kept: Vec<_> = config.groups.iter().map(|group| group.keepalive).collect();
        assert_eq!(kept, [Some(32), Some(0), None]);
        assert!(config.groups[0].pool_per_location && !config.groups[1].pool_per_location);
    }
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::process::Command;
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
            let mut files = Files::of(own).unwrap();
            let start = Start { prefix: self.0.clone(), main: self.0.join("nginx.conf") };
            let directives = files.read(&start.main);
            facts(&start, &files, &directives, "", &[own], 1)
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
        assert!(folder.read().unread.is_some_and(|unread| unread.ends_with("nginx.conf:3: malformed")));
        folder.write("nginx.conf", "include sites;");
        assert!(folder.read().unread.is_some_and(|unread| unread.contains("not a regular file")));
    }

    #[test]
    fn nothing_is_opened_that_is_no_file() {
        let folder = Folder::new("fifo");
        let fifo = folder.0.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        folder.write("nginx.conf", "include fifo; include /proc/self/stat;");
        // Whoever opens the FIFO for reading lets its writer in, which then ends.
        let mut writer = Command::new("sh").arg("-c").arg("exec 3>$0").arg(&fifo).spawn().unwrap();
        let waits = |pid: u32| {
            let process = procfs::process::Process::new(i32::try_from(pid).unwrap()).unwrap();
            process.stat().is_ok_and(|stat| stat.state == 'S' && stat.comm == "sh")
        };
        while !waits(writer.id()) {
            thread::yield_now();
        }
        assert!(folder.read().unread.is_some_and(|unread| unread.contains("fifo: not a regular file")));
        thread::sleep(Duration::from_millis(200));
        let let_in = writer.try_wait().unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(let_in, None);
        folder.write("nginx.conf", "include /proc/self/stat;");
        assert!(folder.read().unread.is_some_and(|unread| unread.contains("a file of the kernel")));
    }

    #[test]
    fn all_files_together_are_bounded() {
        let folder = Folder::new("many");
        folder.write("a", &"server;".repeat(40_000));
        folder.write("nginx.conf", "include a; include a; include a;");
        assert!(folder.read().unread.is_some_and(|unread| unread.ends_with("too many directives")));
    }

    #[test]
    fn the_reader_has_no_rights_but_to_read() {
        let rights = thread::spawn(|| {
            let _no_such_process = read_with_few_rights(u32::MAX, &[], 1);
            caps::read(None, caps::CapSet::Permitted).unwrap()
        });
        let left = rights.join().unwrap();
        let few = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH].into_iter().collect();
        assert!(left.is_subset(&few), "{left:?}");
        let own = std::process::id();
        let before = caps::read(None, caps::CapSet::Permitted).unwrap();
        let _whatever_it_says = read(own, &[own], 1);
        assert_eq!(caps::read(None, caps::CapSet::Permitted).unwrap(), before, "the caller keeps its own");
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
    fn a_file_that_was_not_read_was_not_changed() {
        let read = Folder::new("none").read();
        assert!(read.unread.is_some() && !read.edited, "{read:?}");
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert!(read(u32::MAX, &[], 1).is_err());
    }
}
