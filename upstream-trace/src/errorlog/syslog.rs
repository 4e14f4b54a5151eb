//! `error_log syslog:`, where no other `error_log` is a file. What goes to the socket of this host's journal is read from
//! there. Of what goes elsewhere nothing is kept that could be found: the file that the server writes must be named.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::journal::Of;
use super::outside::Outside;
use crate::host::container::ContainerLog;
use crate::host::file_below;

/// Where the journal takes syslog; `/dev/log` is a link to it.
const SOCKET: &str = "/run/systemd/journal/dev-log";

/// Where the lines of a process go that sends them to these servers, and a name for that place.
pub(super) fn outside(pid: u32, servers: &[String]) -> (Arc<str>, Outside) {
    let named = |server: &String| format!("`error_log syslog:` at {server}");
    if let Some(server) = servers.iter().find(|server| is_journal(pid, server)) {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let of = Of::Syslog(comm.trim_end().to_owned());
        return (comm.trim_end().into(), Outside::new(named(server), ContainerLog::Journal, of));
    }
    let server = servers.first().map(String::as_str).unwrap_or_default();
    let of = Of::Syslog(String::new());
    (format!("syslog {server}").into(), Outside::new(server.to_owned(), ContainerLog::Unknown, of))
}

/// The socket that the process knows by this name is the journal's.
fn is_journal(pid: u32, server: &str) -> bool {
    is_socket(Path::new(&format!("/proc/{pid}/root")), server, Path::new(SOCKET))
}

fn is_socket(root: &Path, server: &str, journal: &Path) -> bool {
    let Some(path) = server.strip_prefix("unix:") else { return false };
    let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (below(root, Path::new(path)).map(id), fs::metadata(journal).map(id)) {
        (Ok(theirs), Ok(journal)) => theirs == journal,
        _ => false,
    }
}

/// What is at this path below the process's root. Its links are followed there, not on this host: where `/dev/log` is one, it
/// is a container's own.
fn below(root: &Path, path: &Path) -> io::Result<Metadata> {
    let root = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(root)?;
    file_below(&root, path, OFlag::O_PATH)?.metadata()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::Dir;
    use super::*;

    #[test]
    fn what_goes_elsewhere_is_not_looked_for_in_the_journal() {
        for server in ["10.0.0.1:514", "unix:/nowhere/log", "unix:/proc/version"] {
            let (_, outside) = outside(std::process::id(), &[server.to_owned()]);
            assert_eq!((outside.log, outside.container.as_str()), (ContainerLog::Unknown, server));
        }
    }

    #[test]
    fn links_of_a_container_stay_in_it() {
        let (host, inside) = (Dir::new("syslog-host"), Dir::new("syslog-inside"));
        host.write("socket", "");
        let journal = host.path("socket");
        // An absolute link, as /dev/log is one, to a name that there is on the host as well.
        symlink(&journal, inside.path("log")).unwrap();
        assert!(!is_socket(&inside.path(""), "unix:/log", &journal));
        let own = inside.path(journal.strip_prefix("/").unwrap().to_str().unwrap());
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "").unwrap();
        assert!(!is_socket(&inside.path(""), "unix:/log", &journal), "a container's own journal");
        fs::remove_file(&own).unwrap();
        fs::hard_link(&journal, &own).unwrap();
        assert!(is_socket(&inside.path(""), "unix:/log", &journal), "the host's, seen from the container");
    }
}
