//! What else is known of an attempt, in words: names of nginx's configuration, other attempts, the pooled connection.

use upstream_trace_core::event::{Upstream, Workload};
use upstream_trace_core::verdict::{Connection, Details, Directive, Ejection, Tries, Try, TryEnd, Verdict};

use super::block::upstream;
use super::clock::Clock;
use super::escape::escape;
use super::layout::{NBSP, nbsp};
use super::number;

/// Attempts of one request that are named; of a longer chain the first and the last ones.
const NAMED: usize = 6;

/// `backend: 10.0.0.2:8080`, or the address alone.
pub(super) fn named(group: Option<&str>, address: Option<&Upstream>) -> String {
    let address = upstream(address);
    match group {
        Some(group) => format!("{}:{NBSP}{address}", escape(group)),
        None => address,
    }
}

/// The group, if there is only one.
pub(super) fn group(details: &Details) -> Option<&str> {
    match details.names.as_slice() {
        [one] => Some(&one.group),
        _ => None,
    }
}

/// Everything of these, each with its name; what is not known is left out.
pub(crate) fn lines(verdict: &Verdict) -> Vec<(&'static str, String)> {
    let details = &verdict.details;
    let lines = [
        ("nginx:", config(details)),
        ("runs in:", runs_in(details)),
        ("try:", details.tries.as_ref().map(tries).unwrap_or_default()),
        ("connection:", details.connection.as_ref().map(connection).unwrap_or_default()),
    ];
    lines.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// The containers and units of nginx and of the upstream; a mere control group says nothing to a person.
pub(crate) fn runs_in(details: &Details) -> String {
    let shown = |who: &str, workload: &Option<Workload>| {
        let known = workload.as_ref().filter(|workload| says_something(workload))?;
        Some(format!("{who} in {}", escape(&known.with_image())))
    };
    let both = [shown("nginx", &details.workload), shown("upstream", &details.origin)];
    both.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The container or unit of an nginx, as one of several.
pub(super) fn place(workload: &Workload) -> Option<String> {
    says_something(workload).then(|| escape(&workload.to_string()).into_owned())
}

fn says_something(workload: &Workload) -> bool {
    !matches!(workload, Workload::Cgroup(_))
}

/// Where it stands in nginx's configuration, and which timeout ran out.
fn config(details: &Details) -> String {
    let mut parts = Vec::new();
    match details.names.as_slice() {
        [] => {}
        [one] if one.server.is_empty() => parts.push(format!("upstream {}", escape(&one.group))),
        [one] => parts.push(format!("upstream {}, server {}", escape(&one.group), escape(&one.server))),
        several => {
            let groups: Vec<_> = several.iter().map(|name| escape(&name.group)).collect();
            parts.push(format!("in several groups: {}", groups.join(", ")));
        }
    }
    if let [first, more @ ..] = details.passes.as_slice() {
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        parts.push(format!("{}{more}", escape(first)));
    }
    match details.directives.as_slice() {
        [] => {}
        [one] => parts.push(format!("{} ran out", directive(one))),
        several => {
            let all: Vec<_> = several.iter().map(directive).collect();
            parts.push(format!("what ran out is one of {}", all.join(", ")));
        }
    }
    parts.join("; ")
}

/// `proxy_read_timeout 3s (/etc/nginx/nginx.conf:12)`.
fn directive(directive: &Directive) -> String {
    let set = nbsp(&escape(&format!("{} {}", directive.name, directive.value)));
    let place = directive.places.first().map(|place| escape(place)).unwrap_or_default();
    let default = if directive.default { "nginx's default, " } else { "" };
    format!("{set} ({default}{place})")
}

/// Which of several attempts for one request it is, and what became of the others.
fn tries(tries: &Tries) -> String {
    let (count, this) = (tries.chain.len(), tries.this);
    let one = |(index, other): (usize, &Try)| {
        let end = match other.end {
            _ if index == this => "this one",
            TryEnd::Unknown => "not known",
            TryEnd::Failed(cause) => cause,
            TryEnd::Answered => "answered",
        };
        nbsp(&format!("{} {end}", upstream(other.upstream.as_ref())))
    };
    let all: Vec<_> = tries.chain.iter().enumerate().map(one).collect();
    let shown = if count > NAMED {
        let (first, last) = (&all[..NAMED / 2], &all[count - NAMED / 2..]);
        format!("{}, ..., {}", first.join(", "), last.join(", "))
    } else {
        all.join(", ")
    };
    format!("{} of {count}: {shown}", this + 1)
}

/// The past of a pooled connection.
fn connection(connection: &Connection) -> String {
    let requests = connection.requests.map(|count| format!("request {} on it", number::count(count.into())));
    let time = |what: &str, time: Option<u64>| time.map(|time| format!("{what} {}", number::duration(time)));
    let parts = [
        requests,
        time("open for", connection.age),
        time("unused by nginx for", connection.idle),
        time("closed by the origin after", connection.origin_idle),
    ];
    parts.into_iter().flatten().map(|part| nbsp(&part)).collect::<Vec<_>>().join(", ")
}

/// What ejected the peers of a group.
pub(super) fn ejected(ejected: &[Ejection], clock: Clock) -> String {
    let one = |ejection: &Ejection| {
        let times =
            if ejection.count > 1 { format!(" {} times, last", ejection.count) } else { String::new() };
        let (at, cause) = (upstream(ejection.upstream.as_ref()), ejection.cause);
        nbsp(&format!("{at} {cause}{times} at {}", clock.time(ejection.last)))
    };
    ejected.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use upstream_trace_core::event::{NamedContainer, Runtime};
    use upstream_trace_core::verdict::Name;

    fn plain(text: &str) -> String {
        text.replace(NBSP, " ")
    }

    fn address(text: &str) -> Upstream {
        Upstream::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn names_and_the_timeout() {
        let name = |group: &str| Name { group: group.into(), server: "app1:8080 backup".into() };
        let set = |value: &str, default, place: &str| Directive {
            name: "proxy_read_timeout".into(),
            value: value.into(),
            default,
            places: vec![place.into()],
        };
        let mut details = Details { names: vec![name("backend")], ..Details::default() };
        assert_eq!(plain(&config(&details)), "upstream backend, server app1:8080 backup");
        assert_eq!(plain(&named(group(&details), Some(&address("10.0.0.2:80")))), "backend: 10.0.0.2:80");
        details.directives.push(set("3s", false, "/etc/nginx/nginx.conf:12"));
        assert_eq!(
            plain(&config(&details)),
            "upstream backend, server app1:8080 backup; proxy_read_timeout 3s (/etc/nginx/nginx.conf:12) ran out"
        );
        details.names.push(name("other"));
        details.directives.push(set("60s", true, "server x, location / (f:1)"));
        assert_eq!(
            plain(&config(&details)),
            "in several groups: backend, other; what ran out is one of proxy_read_timeout 3s (/etc/nginx/nginx.conf:12), \
             proxy_read_timeout 60s (nginx's default, server x, location / (f:1))"
        );
        assert_eq!(group(&details), None);
        let passes = vec!["server x, location / (f:1)".into(), "y".into()];
        assert_eq!(
            config(&Details { passes, ..Details::default() }),
            "server x, location / (f:1) and 1 more"
        );
        assert_eq!(config(&Details::default()), "");
    }

    #[test]
    fn where_nginx_and_the_upstream_run() {
        let container = NamedContainer {
            runtime: Runtime::Docker,
            id: "0123456789ab".into(),
            name: Some("web\u{1b}[2J".into()),
            image: Some("nginx:1.30".into()),
            namespace: None,
            pod: None,
        };
        let details = Details {
            workload: Some(Workload::Container(Box::new(container))),
            origin: Some(Workload::Unit("app.service".into())),
            ..Details::default()
        };
        assert_eq!(
            runs_in(&details),
            "nginx in docker container web\\x1b[2J (nginx:1.30); upstream in unit app.service"
        );
        let none = Details { workload: Some(Workload::Cgroup("/x".into())), ..Details::default() };
        assert_eq!(runs_in(&none), "");
    }

    #[test]
    fn chains() {
        let one = |end| Try {
            attempt: upstream_trace_core::event::AttemptId::from_kernel(1),
            upstream: Some(address("10.0.0.2:80")),
            end,
        };
        let chain = vec![one(TryEnd::Failed("port-refused")), one(TryEnd::Unknown), one(TryEnd::Answered)];
        assert_eq!(
            plain(&tries(&Tries { chain, this: 1 })),
            "2 of 3: 10.0.0.2:80 port-refused, 10.0.0.2:80 this one, 10.0.0.2:80 answered"
        );
        let long = Tries { chain: vec![one(TryEnd::Unknown); 60], this: 0 };
        assert_eq!(tries(&long).matches("10.0.0.2").count(), NAMED);
    }

    #[test]
    fn the_past_of_a_connection() {
        let known = Connection {
            age: Some(65_000_000_000),
            requests: Some(3),
            idle: Some(5_000_000_000),
            origin_idle: Some(4_900_000_000),
        };
        assert_eq!(
            plain(&connection(&known)),
            "request 3 on it, open for 65 s, unused by nginx for 5.0 s, closed by the origin after 4.9 s"
        );
        let unknown = Connection { age: None, requests: None, idle: None, origin_idle: None };
        assert_eq!(connection(&unknown), "");
    }

    #[test]
    fn what_ejected() {
        let one = |count| Ejection {
            upstream: Some(address("10.0.0.2:80")),
            cause: "port-refused",
            count,
            last: 0,
        };
        assert_eq!(
            plain(&ejected(&[one(1), one(2)], Clock::default())),
            "10.0.0.2:80 port-refused at 00:00:00.000Z, 10.0.0.2:80 port-refused 2 times, last at 00:00:00.000Z"
        );
    }

    #[test]
    fn words_of_others_are_harmless() {
        let name = Name { group: "a\u{1b}[2J".into(), server: "x\u{7}".into() };
        let details = Details { names: vec![name], ..Details::default() };
        assert!(!config(&details).contains(['\u{1b}', '\u{7}']));
        assert!(!named(group(&details), None).contains('\u{1b}'));
    }
}
