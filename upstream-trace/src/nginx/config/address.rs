//! Where a server or a pass points to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use upstream_trace_core::event::{Target, Upstream};

/// Names in `/etc/hosts` that are kept.
const MAX_NAMES: usize = 4_096;

/// Addresses of names.
pub(super) type Names = HashMap<String, Vec<IpAddr>>;

/// Those of `/etc/hosts`.
pub(super) fn names(hosts: &str) -> Names {
    let mut names = Names::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(ip) = words.next().and_then(|ip| ip.parse::<IpAddr>().ok()) else { continue };
        for name in words {
            if names.len() < MAX_NAMES {
                names.entry(name.to_lowercase()).or_default().push(ip);
            }
        }
    }
    names
}

/// What `text` points to: an address with or without a port, a name, or `unix:` and a path.
pub(super) fn target(text: &str, default_port: Option<u16>, names: &Names) -> Target {
    let mut target = Target { text: text.to_owned(), ..Target::default() };
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.split(':').next().unwrap_or_default();
        target.addresses = vec![Upstream::Unix(path.to_owned())];
        return target;
    }
    let (host, port) = split(text);
    let port = match port {
        Some(port) => port.parse().ok(),
        None => default_port,
    };
    let Some(port) = port else { return target };
    let found = addresses(host, names);
    if found.is_empty() {
        target.port = Some(port);
    }
    target.addresses = found.into_iter().map(|ip| Upstream::Tcp(SocketAddr::new(ip, port))).collect();
    target
}

fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

/// None if that is for a name server to say.
fn addresses(host: &str, names: &Names) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    let host = host.to_lowercase();
    match names.get(&host) {
        Some(found) => found.clone(),
        None if host == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, port: Option<u16>) -> (Vec<String>, Option<u16>) {
        let names =
            names("127.0.0.1 localhost\n::1 localhost # loopback\n10.0.0.9\tApp app.internal\nnonsense x\n");
        let found = target(text, port, &names);
        (found.addresses.iter().map(ToString::to_string).collect(), found.port)
    }

    #[test]
    fn addresses_names_and_paths() {
        for (text, port, addresses, open) in [
            ("10.0.0.2:8080", None, &["10.0.0.2:8080"][..], None),
            ("10.0.0.2", Some(80), &["10.0.0.2:80"], None),
            ("[fd00::2]:8080", None, &["[fd00::2]:8080"], None),
            ("[fd00::2]", Some(443), &["[fd00::2]:443"], None),
            ("localhost:3000", None, &["127.0.0.1:3000", "[::1]:3000"], None),
            ("APP:1", None, &["10.0.0.9:1"], None),
            ("app.example.org:8080", None, &[], Some(8080)),
            ("app.example.org", Some(80), &[], Some(80)),
            ("unix:/run/app.sock", Some(80), &["unix:/run/app.sock"], None),
            ("unix:/run/app.sock:/uri", None, &["unix:/run/app.sock"], None),
            ("unix:@abstract", None, &["unix:@abstract"], None),
            ("nonsense:port", None, &[], None),
            ("no-port", None, &[], None),
            ("", None, &[], None),
        ] {
            let addresses: Vec<_> = addresses.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(shown(text, port), (addresses, open), "{text}");
        }
    }
}
