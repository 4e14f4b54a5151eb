//! What of an event tells who asked an nginx for what, and on which host.
//!
//! Whoever adds a field to an event that is taken apart here has to decide here whether it does: it does not compile
//! otherwise. For a new event, [`Event::private`](super::Event::private) asks the same.

use std::net::SocketAddr;

use super::config::{Config, Group, Pass, Server, Setting, Target};
use super::{
    Attempt, Enrichment, Fact, Host, Listener, LogLine, Lookup, MatchedRule, NamedContainer, OriginClosed,
    OriginExit, PacketTuple, Rules, Workload,
};

/// What a private text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Private {
    /// Address of a client.
    Client,
    /// Name of a host: of this one, of a site, of an upstream. A port may follow.
    Host,
    /// Request line: method, path, version.
    Request,
    /// Path of a request, with its query.
    Path,
    /// An upstream as nginx writes it, with the path of the request.
    Url,
    /// nginx's words, which may quote any of these.
    Words,
    /// An upstream as it is configured: a name, or an address, which stays.
    Target,
    /// Name of a file, with the line if a place is meant; those of sites are often named like these.
    File,
    /// Text in which anything may stand.
    Text,
    /// What nginx was doing, as it says behind `while`.
    Action,
    /// Name of a unit, a container or a control group.
    Workload,
    /// Parameters of a `server` of a group.
    Parameters,
    /// Address from which nginx connects, `IP:PORT`: with `proxy_bind ... transparent` the client's.
    Local,
    /// A rule of a firewall; its comment may hold anything.
    Rule,
}

pub(super) fn of_host(host: &mut Host, show: &mut dyn FnMut(Private, &mut String)) {
    let Host {
        hostname,
        at: _,
        unix_us: _,
        version: _,
        kernel: _,
        nginx: _,
        hooks: _,
        masters: _,
        workers: _,
        slow: _,
        depth: _,
    } = host;
    if !hostname.is_empty() {
        show(Private::Host, hostname);
    }
}

pub(super) fn of_line(line: &mut LogLine, show: &mut dyn FnMut(Private, &mut String)) {
    let LogLine {
        client,
        server,
        request,
        subrequest,
        upstream,
        host,
        message,
        file,
        // An address stays: name servers are of the host's own network, like the upstreams.
        resolver,
        action,
        at: _,
        worker: _,
        pid: _,
        time: _,
        level: _,
        connection: _,
        errno: _,
        truncated: _,
        after: _,
        udp: _,
        tags,
        source: _,
        doubtful: _,
    } = line;
    let optional = [
        (Private::Client, client),
        (Private::Host, server),
        (Private::Host, host),
        (Private::Request, request),
        (Private::Path, subrequest),
        (Private::Url, upstream),
        (Private::Target, resolver),
        (Private::Action, action),
    ];
    for (kind, text) in optional {
        if let Some(text) = text {
            show(kind, text);
        }
    }
    // Words of a client may look like a tag.
    for (mut name, mut value) in std::mem::take(tags) {
        show(Private::Text, &mut name);
        show(Private::Text, &mut value);
        tags.insert(name, value);
    }
    show(Private::Words, message);
    if !file.is_empty() {
        show(Private::File, file);
    }
}

pub(super) fn of_lookup(lookup: &mut Lookup, show: &mut dyn FnMut(Private, &mut String)) {
    let Lookup {
        name,
        id: _,
        at: _,
        begun: _,
        worker: _,
        netns: _,
        for_client: _,
        state: _,
        // Name servers are of the host's own network; what became of a question holds no names.
        asked: _,
        asked_lost: _,
    } = lookup;
    show(Private::Host, name);
}

/// What an origin says in place of TLS may begin with its name.
pub(super) fn of_attempt(attempt: &mut Attempt, show: &mut dyn FnMut(Private, &mut String)) {
    if let Some(bytes) = &mut attempt.non_tls_prefix {
        show(Private::Text, bytes);
    }
    if let Some(local) = &mut attempt.local {
        of_address(local, show);
    }
}

pub(super) fn of_tuple(tuple: &mut PacketTuple, show: &mut dyn FnMut(Private, &mut String)) {
    let PacketTuple { src, dst } = tuple;
    of_address(src, show);
    of_address(dst, show);
}

/// An address that is replaced by something else than one stays.
fn of_address(address: &mut SocketAddr, show: &mut dyn FnMut(Private, &mut String)) {
    let mut text = address.to_string();
    show(Private::Local, &mut text);
    if let Ok(shown) = text.parse() {
        *address = shown;
    }
}

pub(super) fn of_exit(exit: &mut OriginExit, show: &mut dyn FnMut(Private, &mut String)) {
    let OriginExit {
        command,
        home,
        at: _,
        pid: _,
        name: _,
        out_of_memory: _,
        netns: _,
        upstream: _,
        signal: _,
        status: _,
        alone: _,
    } = exit;
    if let Some(command) = command {
        show(Private::Text, command);
    }
    if let Some(home) = home {
        of_workload(home, show);
    }
}

pub(super) fn of_closed(closed: &mut OriginClosed, show: &mut dyn FnMut(Private, &mut String)) {
    let OriginClosed {
        home,
        origin,
        peer,
        at: _,
        pid: _,
        name: _,
        netns: _,
        received: _,
        exiting: _,
        signal: _,
        status: _,
        out_of_memory: _,
    } = closed;
    of_address(origin, show);
    of_address(peer, show);
    if let Some(home) = home {
        of_workload(home, show);
    }
}

pub(super) fn of_workload(workload: &mut Workload, show: &mut dyn FnMut(Private, &mut String)) {
    match workload {
        Workload::Unit(name)
        | Workload::Docker(name)
        | Workload::Podman(name)
        | Workload::Kubernetes(name)
        | Workload::Lxc(name)
        | Workload::Cgroup(name) => show(Private::Workload, name),
        Workload::Container(container) => {
            let NamedContainer { runtime: _, id, name, image, namespace, pod } = &mut **container;
            let optional = [name, image, namespace, pod];
            for text in optional.into_iter().flatten().chain([id]) {
                show(Private::Workload, text);
            }
        }
    }
}

pub(super) fn of_facts(enrichment: &mut Enrichment, show: &mut dyn FnMut(Private, &mut String)) {
    let Enrichment { facts, at: _, netns: _, upstream: _ } = enrichment;
    for fact in facts {
        match fact {
            Fact::Listener(Listener {
                home,
                unaccepted,
                queue: _,
                limit: _,
                overflows: _,
                process: _,
                stopped: _,
                may_be_translated: _,
                netns: _,
            }) => {
                if let Some(home) = home {
                    of_workload(home, show);
                }
                for end in unaccepted.iter_mut().flatten() {
                    of_address(end, show);
                }
            }
            Fact::ContainerAddress { home, listens: _ } => of_workload(home, show),
            Fact::Route(_)
            | Fact::Neighbour(_)
            | Fact::NoListener
            | Fact::ListensElsewhere { .. }
            | Fact::Conntrack(_)
            | Fact::UnixPath { .. } => {}
        }
    }
}

pub(super) fn of_rules(rules: &mut Rules, show: &mut dyn FnMut(Private, &mut String)) {
    of_tuple(&mut rules.tuple, show);
    if let Some(unread) = &mut rules.unread {
        show(Private::Text, unread);
    }
    for MatchedRule { text, .. } in &mut rules.rules {
        if let Some(text) = text {
            show(Private::Rule, text);
        }
    }
}

pub(super) fn of_config(config: &mut Config, show: &mut dyn FnMut(Private, &mut String)) {
    let Config {
        file,
        unread,
        groups,
        passes,
        syslog,
        at: _,
        workers: _,
        older: _,
        edited: _,
        dynamic: _,
        transparent: _,
        outputs: _,
    } = config;
    show(Private::File, file);
    if let Some(unread) = unread {
        show(Private::Text, unread);
    }
    for Group { name, servers, keepalive_timeout, stream: _, keepalive: _, pool_per_location: _ } in groups {
        show(Private::Host, name);
        for Server { target, parameters, max_fails: _, fail_timeout_ms: _, down: _ } in servers {
            of_target(target, show);
            show(Private::Parameters, parameters);
        }
        if let Some(setting) = keepalive_timeout {
            of_setting(setting, show);
        }
    }
    for pass in passes {
        of_pass(pass, show);
    }
    for server in syslog {
        show(Private::Target, server);
    }
}

fn of_pass(pass: &mut Pass, show: &mut dyn FnMut(Private, &mut String)) {
    let Pass {
        group,
        target,
        server,
        location,
        place,
        connect,
        send,
        read,
        directive: _,
        stream: _,
        tls: _,
        promises_body: _,
        tunnels: _,
        http2: _,
    } = pass;
    let optional = [(Private::Host, group), (Private::Host, server), (Private::Path, location)];
    for (kind, text) in optional {
        if let Some(text) = text {
            show(kind, text);
        }
    }
    if let Some(target) = target {
        of_target(target, show);
    }
    show(Private::File, place);
    for setting in [connect, send, read] {
        of_setting(setting, show);
    }
}

fn of_target(target: &mut Target, show: &mut dyn FnMut(Private, &mut String)) {
    let Target { text, addresses: _, port: _ } = target;
    show(Private::Target, text);
}

fn of_setting(setting: &mut Setting, show: &mut dyn FnMut(Private, &mut String)) {
    let Setting { place, directive: _, text: _, ms: _ } = setting;
    if let Some(place) = place {
        show(Private::File, place);
    }
}

#[cfg(test)]
mod tests;
