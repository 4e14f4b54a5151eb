//! Looks up what surrounds an upstream connection in trouble, seen from nginx's network namespace: the route, the
//! neighbour, the listener and its queue, connection tracking, the socket file.

mod adjacency;
mod dwelling;
mod elsewhere;
mod holders;
mod host_map;
mod owner;
mod queue;
mod unix_path;
mod view;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use upstream_trace_core::event::{
    Enrichment, Fact, Listener, Nanos, Route, UNACCEPTED, UnixTarget, Upstream,
};

use crate::host;
use crate::host::netns::{self, Way};
pub use crate::host::{command, workload as home};
use crate::netlink::Error;
use crate::netlink::diag::{Family, UnixSocket};
use adjacency::Exit;
use elsewhere::Elsewhere;
pub use holders::{SocketOwnerScan, Sockets};
use host_map::HostMap;
use owner::SocketOwnerCache;
use unix_path::SocketFile;
use view::View;

/// An upstream that was looked up is not looked up again for so long.
const FRESH: Nanos = 300_000_000;
/// Upstreams whose last lookup is remembered.
const REMEMBERED: usize = 1024;
/// A namespace in which nothing was looked up for so long is let go, so that it can end with its container.
pub const IDLE: Nanos = 60_000_000_000;
/// Network namespaces that packets are followed through: a container's, a host's, a router's, and another container's.
const HOPS: usize = 4;
/// Namespaces that are held at a time.
const NAMESPACES: usize = 64;

/// Looks up facts; holds a pair of netlink sockets per network namespace.
#[derive(Debug, Default)]
pub struct Enricher {
    views: HashMap<u32, View>,
    recent: HashMap<(u32, Upstream), Enrichment>,
    owners: SocketOwnerCache,
    elsewhere: Elsewhere,
    map: HostMap,
}

impl Enricher {
    /// Holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Facts about the way from worker `worker_pid`, in network namespace `netns` (0 for that of the worker), to
    /// `upstream`. Asked again within 300 ms it answers from memory, with the time of the lookup. `None` if the
    /// namespace is gone, or nothing could be found out.
    pub fn facts(
        &mut self,
        worker_pid: u32,
        netns: u32,
        upstream: &Upstream,
        now: Nanos,
    ) -> Option<Enrichment> {
        let netns = if netns == 0 { netns::inode_of(worker_pid)? } else { netns };
        let key = (netns, upstream.clone());
        if let Some(recent) = self.recent.get(&key).filter(|recent| now.saturating_sub(recent.at) < FRESH) {
            return Some(recent.clone());
        }
        let facts = self.look_up(worker_pid, netns, upstream, now)?;
        let enrichment = Enrichment { at: now, netns, upstream: upstream.clone(), facts };
        self.remember(key, &enrichment);
        Some(enrichment)
    }

    /// The same of an upstream that refused a connection: whose address it is as well, if it is a container's on this
    /// host, and where that listens.
    pub fn facts_of_refused(
        &mut self,
        worker_pid: u32,
        netns: u32,
        upstream: &Upstream,
        now: Nanos,
    ) -> Option<Enrichment> {
        let mut found = self.facts(worker_pid, netns, upstream, now)?;
        let away = |fact: &Fact| matches!(fact, Fact::Route(Route::Found { local: false, .. }));
        if let Upstream::Tcp(address) = upstream
            && found.facts.iter().any(away)
        {
            found.facts.extend(dwelling::fact(&mut self.map, found.netns, *address, now));
        }
        Some(found)
    }

    /// Inode numbers of the sockets that listen for connections from worker `worker_pid` to `upstream`; none if the
    /// upstream is on another host, or cannot be looked at.
    pub fn listening(&mut self, worker_pid: u32, netns: u32, upstream: &Upstream, now: Nanos) -> Vec<u32> {
        let Some(view) = self.view(worker_pid, netns, now) else { return Vec::new() };
        let found = match upstream {
            Upstream::Tcp(address) => tcp_listening(view, *address),
            Upstream::Unix(path) => {
                let file = unix_path::look(worker_pid, path);
                unix_socket(view, path, file)
                    .map(|found| found.map(|socket| socket.inode).into_iter().collect())
            }
        };
        if found.as_ref().is_err_and(Error::is_fatal) {
            self.views.remove(&netns);
        }
        match (found, upstream) {
            (Ok(none), Upstream::Unix(path)) if none.is_empty() => {
                let socket = self.elsewhere.listener(worker_pid, netns, path, now);
                socket.map(|socket| socket.inode).into_iter().collect()
            }
            (found, _) => found.unwrap_or_default(),
        }
    }

    /// Lets namespaces go in which nothing was looked up for a minute. A lookup does so by itself; to be called when there is
    /// none any more.
    pub fn tidy(&mut self, now: Nanos) {
        self.views.retain(|_, view| now.saturating_sub(view.used) < IDLE);
        self.elsewhere.tidy(now);
    }

    /// Takes note of which process holds a listener, and as which descriptor.
    pub fn learn(&mut self, inode: u32, pid: u32, descriptor: i32) {
        self.owners.learn(inode, (pid, descriptor));
    }

    fn remember(&mut self, key: (u32, Upstream), enrichment: &Enrichment) {
        if self.recent.len() >= REMEMBERED {
            self.recent.retain(|_, old| enrichment.at.saturating_sub(old.at) < FRESH);
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.clear();
        }
        self.recent.insert(key, enrichment.clone());
    }

    fn look_up(&mut self, pid: u32, netns: u32, upstream: &Upstream, now: Nanos) -> Option<Vec<Fact>> {
        let view = self.view(pid, netns, now)?;
        view.refresh(pid, now);
        let mut facts = Vec::new();
        let result = match upstream {
            Upstream::Tcp(address) => tcp_facts(view, *address, &mut facts),
            Upstream::Unix(path) => unix_facts(view, pid, path, &mut facts),
        };
        let (listener, broken) = match result {
            Ok(listener) => (listener, false),
            Err(error) => (None, error.is_fatal()),
        };
        let nowhere = listener.is_none() && facts.contains(&Fact::UnixPath { target: UnixTarget::Socket });
        let listener = match upstream {
            Upstream::Unix(path) if nowhere => {
                let mut look = || self.elsewhere.listener(pid, netns, path, now);
                look().and_then(|socket| queue::unix_listener(&socket, || Ok(look())).ok())
            }
            _ => listener,
        };
        let listener = match upstream {
            Upstream::Tcp(address) if listener.is_none() && !broken => {
                self.in_another_namespace(netns, *address, &facts, now)
            }
            _ => listener,
        };
        if let Some((inode, mut listener)) = listener {
            let owner = self.owners.find(inode, now);
            listener.process = owner.and_then(host::name);
            listener.home = owner.and_then(host::workload);
            listener.stopped = owner.and_then(host::stat).is_some_and(|stat| stat.stopped);
            facts.push(Fact::Listener(listener));
        }
        if let Upstream::Tcp(address) = upstream
            && !broken
            && facts.contains(&Fact::NoListener)
        {
            facts.extend(self.listens_elsewhere(pid, netns, address.port(), now));
        }
        if broken {
            // Late answers would be taken for those to the next question: begin anew.
            self.views.remove(&netns);
        }
        (!facts.is_empty()).then_some(facts)
    }

    /// The listener of an address in another network namespace of this kernel, if what nginx sends gets there.
    fn in_another_namespace(
        &mut self,
        netns: u32,
        address: SocketAddr,
        facts: &[Fact],
        now: Nanos,
    ) -> Listening {
        let away = |fact: &Fact| matches!(fact, Fact::Route(Route::Found { local: false, .. }));
        if !facts.iter().any(away) {
            return None;
        }
        let ip = address.ip().to_canonical();
        let place = self.follow(netns, ip, now)?;
        let there = self.views.get_mut(&place)?;
        let found = tcp_listener(there, ip, address.port(), 0);
        let may_be_translated = there.conntrack().is_some_and(|tracked| tracked.count > 0);
        if found.as_ref().is_err_and(Error::is_fatal) {
            self.views.remove(&place);
        }
        let (inode, listener) = found.ok()??;
        Some((inode, Listener { netns: Some(place), may_be_translated, ..listener }))
    }

    /// Follows packets to this address from namespace to namespace, by routes, the link-layer addresses of next hops, and how
    /// interfaces are joined: addresses alone may be those of several, and of another host. The namespace that takes them in,
    /// whose view is open.
    fn follow(&mut self, from: u32, ip: IpAddr, now: Nanos) -> Option<u32> {
        let mut place = from;
        for _ in 0..HOPS {
            let routes = &mut self.views.get_mut(&place)?.routes;
            let found = routes.route_to(ip, 0).ok()?;
            let Route::Found { gateway, local, .. } = found.route else { return None };
            if local {
                return (place != from).then_some(place);
            }
            let link = routes.link_address(gateway.unwrap_or(ip), found.ifindex).ok()??;
            let next = self.map.of_link(link, place, now)?;
            self.view_by(&next.way, next.netns, now)?;
            let exit = Exit { netns: place, ifindex: found.ifindex, link };
            if !self.reaches(exit, &next, now) {
                return None;
            }
            place = next.netns;
        }
        None
    }

    /// A listener of the same port on another address.
    fn listens_elsewhere(&mut self, pid: u32, netns: u32, port: u16, now: Nanos) -> Option<Fact> {
        let socket = self.view(pid, netns, now)?.diag.listeners(port).ok()?.into_iter().next()?;
        let process = self.owners.find(socket.inode, now).and_then(host::name);
        Some(Fact::ListensElsewhere { address: socket.local, process })
    }

    fn view(&mut self, pid: u32, netns: u32, now: Nanos) -> Option<&mut View> {
        self.view_by(&Way::Process(pid), netns, now)
    }

    fn view_by(&mut self, way: &Way, netns: u32, now: Nanos) -> Option<&mut View> {
        self.views.retain(|inode, view| *inode == netns || now.saturating_sub(view.used) < IDLE);
        if !self.views.contains_key(&netns) {
            let view = View::open(netns, way).ok().filter(|view| view.netns == Some(netns))?;
            if self.views.len() >= NAMESPACES {
                self.views.clear();
            }
            self.views.insert(netns, view);
        }
        let view = self.views.get_mut(&netns)?;
        view.used = now;
        Some(view)
    }
}

/// A listener and the inode of its socket.
type Listening = Option<(u32, Listener)>;

fn tcp_facts(view: &mut View, address: SocketAddr, facts: &mut Vec<Fact>) -> Result<Listening, Error> {
    facts.extend(view.conntrack().map(Fact::Conntrack));
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    };
    let ip = address.ip().to_canonical();
    let found = view.routes.route_to(ip, scope)?;
    facts.push(Fact::Route(found.route.clone()));
    let Route::Found { interface, gateway, local } = found.route else { return Ok(None) };
    if found.real_link {
        let neighbour = view.routes.neighbour(gateway.unwrap_or(ip), found.ifindex, interface)?;
        facts.extend(neighbour.map(Fact::Neighbour));
    }
    if !local {
        return Ok(None);
    }
    let listening = tcp_listener(view, ip, address.port(), found.ifindex)?;
    if listening.is_none() {
        facts.push(Fact::NoListener);
    }
    Ok(listening)
}

/// The listener that would get a connection to this local address; of a `reuseport` group that with the fullest
/// queue.
fn tcp_listener(view: &mut View, ip: IpAddr, port: u16, ifindex: u32) -> Result<Listening, Error> {
    let Some(chosen) = view.diag.listener_for(SocketAddr::new(ip, port), ifindex)? else { return Ok(None) };
    let same = view.diag.listeners(port)?.into_iter().filter(|socket| socket.local == chosen.local);
    let fill = |queue: u32, limit: u32| u64::from(queue) * 1_000_000 / (u64::from(limit) + 1);
    let fullest = same.chain([chosen.clone()]).max_by_key(|socket| fill(socket.rqueue, socket.wqueue));
    let socket = fullest.unwrap_or(chosen);
    let overflows = view.listen_overflows();
    let (first, limit) = (socket.rqueue, socket.wqueue);
    let ends = if first == 0 {
        Vec::new()
    } else {
        view.diag.unaccepted(SocketAddr::new(ip, port), Family::of(socket.local))?
    };
    let queue = queue::still_waiting(first, limit, || {
        let again = view.diag.listeners(port)?.into_iter().find(|again| again.inode == socket.inode);
        Ok(again.map(|again| again.rqueue))
    })?;
    let unaccepted = Some(ends).filter(|ends| queue > 0 && !ends.is_empty() && ends.len() <= UNACCEPTED);
    Ok(Some((socket.inode, Listener { queue, limit, overflows, unaccepted, ..Listener::default() })))
}

/// All sockets that share the connections to this address, if it is one of this host.
fn tcp_listening(view: &mut View, address: SocketAddr) -> Result<Vec<u32>, Error> {
    let scope = if let SocketAddr::V6(address) = address { address.scope_id() } else { 0 };
    let ip = address.ip().to_canonical();
    let found = view.routes.route_to(ip, scope)?;
    if !matches!(found.route, Route::Found { local: true, .. }) {
        return Ok(Vec::new());
    }
    let target = SocketAddr::new(ip, address.port());
    let Some(chosen) = view.diag.listener_for(target, found.ifindex)? else { return Ok(Vec::new()) };
    let all = view.diag.listeners(address.port())?.into_iter();
    Ok(all.filter(|socket| socket.local == chosen.local).map(|socket| socket.inode).collect())
}

fn unix_facts(view: &mut View, pid: u32, path: &str, facts: &mut Vec<Fact>) -> Result<Listening, Error> {
    let file = unix_path::look(pid, path);
    if let Some(file) = &file {
        facts.push(Fact::UnixPath { target: file.target });
    }
    if file.as_ref().is_some_and(|file| file.target != UnixTarget::Socket) {
        return Ok(None);
    }
    let Some(socket) = unix_socket(view, path, file)? else { return Ok(None) };
    queue::unix_listener(&socket, || unix_socket(view, path, file)).map(Some)
}

/// The socket that listens at this path.
fn unix_socket(view: &mut View, path: &str, file: Option<SocketFile>) -> Result<Option<UnixSocket>, Error> {
    let sockets = view.diag.unix_sockets(true)?;
    let is_it = |name: Option<&str>, id: Option<(u32, u32)>| match file {
        Some(SocketFile { id: Some(wanted), .. }) if id.is_some() => id == Some(wanted),
        _ => name == Some(path),
    };
    let by_file = sockets.iter().find(|socket| socket.stream && is_it(socket.name.as_deref(), socket.file));
    // Overlay file systems number the file differently inside and outside the kernel: then the name decides.
    let found = by_file.or_else(|| {
        let mut named = sockets.iter().filter(|socket| socket.stream && socket.name.as_deref() == Some(path));
        named.next().filter(|_| named.next().is_none())
    });
    Ok(found.cloned())
}
