//! `error_log syslog:`, where no other `error_log` is a file. What goes to the socket of this host's journal is read from
//! there. Of what goes elsewhere nothing is kept that could be found: the file that the server writes must be named.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::journal::Of;
use super::outside::Outside;
use crate::host::container::ContainerLog;

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
    let Some(path) = server.strip_prefix("unix:") else { return false };
    let id = |path: &str| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    match (id(&format!("/proc/{pid}/root{path}")), id(SOCKET)) {
        (Ok(theirs), Ok(journal)) => theirs == journal,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_elsewhere_is_not_looked_for_in_the_journal() {
        for server in ["10.0.0.1:514", "unix:/nowhere/log", "unix:/proc/version"] {
            let (_, outside) = outside(std::process::id(), &[server.to_owned()]);
            assert_eq!((outside.log, outside.container.as_str()), (ContainerLog::Unknown, server));
        }
    }
}
