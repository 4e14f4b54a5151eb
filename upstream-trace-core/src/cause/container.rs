//! The container on this host that an upstream's address belongs to: what a refused port may have been meant to be.

use std::net::SocketAddr;

use crate::case::Case;
use crate::event::{NamedContainer, Runtime, Workload};
use crate::text::{self, shell};

/// Ports that a sentence names.
const PORTS: usize = 4;

/// Which container it is, and where it listens: ` The address is that of docker container app, which listens on port 80.`
pub(super) fn sentence(case: &Case<'_>) -> String {
    let Some((home, listens)) = case.container() else { return String::new() };
    let home = home.to_string();
    let who = text::sentence(&home);
    if listens.is_empty() {
        return format!(" The address is that of {who}, which listens on no port.");
    }
    let mut places: Vec<_> = listens.iter().map(|local| place(case, *local)).collect();
    places.dedup();
    places.truncate(PORTS);
    format!(" The address is that of {who}, which listens on {}.", places.join(" and "))
}

/// Something listens there on the upstream's port now, and is reached from outside.
pub(super) fn listens(case: &Case<'_>) -> bool {
    let is_it = |local: &SocketAddr| local.port().to_string() == case.port() && is_open(case, *local);
    case.container().is_some_and(|(_, listens)| listens.iter().any(is_it))
}

/// What to do where the container listens elsewhere.
pub(super) fn fix(case: &Case<'_>) -> Option<String> {
    let (home, listens) = case.container()?;
    let port = case.port();
    let open = listens.iter().filter(|local| is_open(case, **local));
    let mut ports: Vec<_> = open.map(|local| local.port().to_string()).filter(|open| *open != port).collect();
    ports.dedup();
    let shown = look(&home).map_or_else(String::new, |command| format!("{command} shows where it listens. "));
    Some(match ports.as_slice() {
        [] => {
            format!("{shown}Start the service in the container, on an address that is reached from outside.")
        }
        [only] => format!("{shown}Let nginx connect to port {only}, or the service listen on port {port}."),
        _ => format!("{shown}Let nginx connect to the right port, or the service listen on port {port}."),
    })
}

/// `port 80`, or `127.0.0.1:80 only` if that is not the upstream's address.
fn place(case: &Case<'_>, local: SocketAddr) -> String {
    if is_open(case, local) { format!("port {}", local.port()) } else { format!("{local} only") }
}

/// It takes connections to the upstream's address.
fn is_open(case: &Case<'_>, local: SocketAddr) -> bool {
    let ip = local.ip().to_canonical();
    ip.is_unspecified() || Some(ip) == case.ip().map(|ip| ip.to_canonical())
}

/// Commands that show the listeners of a container, where its runtime has some.
fn look(home: &Workload) -> Option<String> {
    let exec = |program: &str, name: &str| {
        let name = shell::word(name, "NAME");
        format!("`{program} exec {name} ss -lnt` (`{program} port {name}`: published ports)")
    };
    match home {
        Workload::Docker(id) => Some(exec("docker", id)),
        Workload::Podman(id) => Some(exec("podman", id)),
        Workload::Container(container) => {
            let NamedContainer { runtime, id, name, namespace, pod, .. } = &**container;
            let name = name.as_deref();
            match (runtime, namespace, pod) {
                (Runtime::Docker, ..) => Some(exec("docker", name.unwrap_or(id))),
                (Runtime::Podman, ..) => Some(exec("podman", name.unwrap_or(id))),
                (_, Some(namespace), Some(pod)) => Some(format!(
                    "`kubectl -n {} exec {} -- ss -lnt`",
                    shell::word(namespace, "NAMESPACE"),
                    shell::word(pod, "POD")
                )),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fact;
    use crate::testkit::{enrichment, refused};

    fn told(home: Workload, listens: &[&str]) -> (String, String, bool) {
        let listens = listens.iter().map(|local| local.parse().expect("an address")).collect();
        let found = enrichment(vec![Fact::ContainerAddress { home, listens }]);
        let attempt = refused();
        let mut case = Case::of_attempt(&attempt);
        case.enrichment = Some(&found);
        (sentence(&case), fix(&case).unwrap_or_default(), super::listens(&case))
    }

    fn named(runtime: Runtime, pod: Option<&str>) -> Workload {
        Workload::Container(Box::new(NamedContainer {
            runtime,
            id: "0123456789ab".to_owned(),
            name: Some("app".to_owned()),
            image: None,
            namespace: pod.map(|_| "shop".to_owned()),
            pod: pod.map(str::to_owned),
        }))
    }

    #[test]
    fn which_container_and_where_it_listens() {
        let (says, fix, open) = told(named(Runtime::Docker, None), &["0.0.0.0:80", "[::]:80"]);
        assert_eq!(says, " The address is that of docker container app, which listens on port 80.");
        assert!(fix.starts_with("`docker exec app ss -lnt`") && fix.contains("connect to port 80"), "{fix}");
        assert!(!open);
        let (says, fix, open) = told(named(Runtime::Podman, None), &["127.0.0.1:8080"]);
        assert!(says.ends_with("which listens on 127.0.0.1:8080 only."), "{says}");
        assert!(fix.contains("`podman exec app") && fix.contains("reached from outside"), "{fix}");
        assert!(!open);
        let (says, fix, _) = told(named(Runtime::Containerd, Some("web-0")), &[]);
        assert!(says.ends_with("container app of pod shop/web-0, which listens on no port."), "{says}");
        assert!(fix.contains("`kubectl -n shop exec web-0 -- ss -lnt`"), "{fix}");
        assert!(told(named(Runtime::Docker, None), &["0.0.0.0:8080"]).2, "it listens by now");
    }

    #[test]
    fn names_are_not_obeyed_by_a_shell() {
        let (_, fix, _) = told(Workload::Docker("a;reboot".to_owned()), &[]);
        assert!(fix.contains("docker exec 'a;reboot' ss"), "{fix}");
    }
}
