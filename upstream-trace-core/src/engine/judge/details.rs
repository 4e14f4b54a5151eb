//! What is reported of an attempt beside its verdict.

use crate::case::{Case, Limit};
use crate::errorlog::{self, Kind};
use crate::event::{Group, Nanos, Pass, Server};
use crate::verdict::{Connection, Details, Directive, Name};

/// Places and names of each kind that are reported.
const MAX_NAMED: usize = 8;

/// From the case alone: not the other attempts.
pub(in crate::engine) fn of(case: &Case<'_>) -> Details {
    let names: Vec<_> = match without_peer(case) {
        Some(group) => vec![Name { group: group.name.clone(), server: String::new() }],
        None => case.servers().into_iter().take(MAX_NAMED).map(name).collect(),
    };
    let passes = if names.is_empty() { case.passes() } else { Vec::new() };
    let passes =
        passes.into_iter().take(MAX_NAMED).map(|pass| format!("{} in {}", pass.directive, place(pass)));
    Details {
        names,
        passes: passes.collect(),
        directives: case.limits().iter().take(MAX_NAMED).map(directive).collect(),
        connection: connection(case),
        workload: case.workload.cloned(),
        origin: case.origin_runs_in(),
        ..Details::default()
    }
}

/// The group that nginx's line names where no server of it was tried.
fn without_peer<'a>(case: &Case<'a>) -> Option<&'a Group> {
    let line = case.log.filter(|_| case.log_kind() == Some(Kind::NoLive))?;
    let name = errorlog::upstream_group(line)?;
    case.config?.groups.iter().find(|group| group.name == name)
}

fn name((group, server): (&Group, &Server)) -> Name {
    let parameters = if server.parameters.is_empty() { "" } else { " " };
    Name {
        group: group.name.clone(),
        server: format!("{}{parameters}{}", server.target.text, server.parameters),
    }
}

fn directive(limit: &Limit<'_>) -> Directive {
    let setting = limit.setting;
    let places = match &setting.place {
        Some(place) => vec![place.clone()],
        None => limit.passes.iter().take(MAX_NAMED).map(|pass| place(pass)).collect(),
    };
    Directive {
        name: setting.directive.clone(),
        value: setting.text.clone(),
        default: setting.place.is_none(),
        places,
    }
}

/// `server example.org, location /api/ (/etc/nginx/nginx.conf:12)`.
fn place(pass: &Pass) -> String {
    let server = pass.server.as_ref().map(|name| format!("server {name}, ")).unwrap_or_default();
    let location = pass.location.as_ref().map(|path| format!("location {path} ")).unwrap_or_default();
    format!("{server}{location}({})", pass.place)
}

/// Of a pooled connection only: another has no past.
fn connection(case: &Case<'_>) -> Option<Connection> {
    let attempt = &case.attempt;
    let dead = case.dead_in_pool();
    if case.connect.is_some() || case.line_only || !(case.reused() || dead) {
        return None;
    }
    let known = |value: Nanos| Some(value).filter(|_| !attempt.adopted);
    let begun = attempt.established.unwrap_or(attempt.begun);
    // Of a connection on which the answer has begun, the last bytes are of that.
    let idle_from = attempt.last_recv.filter(|_| dead || attempt.bytes_received == 0);
    let idle_to = if dead { Some(attempt.seen) } else { attempt.request };
    let idle = idle_from.zip(idle_to).and_then(|(from, to)| to.checked_sub(from));
    let ended = case.ended_by_origin();
    let stale = dead || attempt.sent_after_fin || attempt.unacked_at_end;
    Some(Connection {
        age: known(attempt.seen.saturating_sub(begun)),
        requests: known(attempt.requests.into()).and_then(|count| u32::try_from(count).ok()),
        idle,
        origin_idle: idle_from.zip(ended).filter(|_| stale).and_then(|(from, to)| to.checked_sub(from)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{MS, SECOND};
    use crate::testkit::{config, refused, reused_request, unanswered_request, with_fin};

    #[test]
    fn names_and_directives() {
        let (attempt, read) = (unanswered_request(), config());
        let mut case = Case::of_attempt(&attempt);
        assert_eq!(of(&case), Details::default());
        case.config = Some(&read);
        let found = of(&case);
        assert_eq!(found.names, [Name { group: "backend".to_owned(), server: "10.0.0.2:8080".to_owned() }]);
        let set = &found.directives[0];
        assert_eq!(
            (set.name.as_str(), set.default, &set.places[..]),
            ("proxy_read_timeout", false, &["nginx.conf:12".to_owned()][..])
        );
    }

    #[test]
    fn a_default_is_told_with_the_places_where_it_holds() {
        let (mut attempt, read) = (unanswered_request(), config());
        attempt.seen = attempt.seen - 2 * SECOND + 60 * SECOND + MS;
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(&read);
        let found = &of(&case).directives[0];
        assert!(found.default);
        assert_eq!(found.places, ["server other, location / (nginx.conf:22)"]);
    }

    #[test]
    fn an_upstream_without_a_group_has_the_place_that_names_it() {
        let (attempt, mut read) = (refused(), config());
        let target = read.groups[0].servers[0].target.clone();
        read.groups.clear();
        (read.passes[0].group, read.passes[0].target) = (None, Some(target));
        let mut case = Case::of_attempt(&attempt);
        case.config = Some(&read);
        let found = of(&case);
        assert!(found.names.is_empty());
        assert_eq!(found.passes, ["proxy_pass in server lab, location / (nginx.conf:14)"]);
    }

    #[test]
    fn a_pooled_connection_has_a_past_on_both_sides() {
        let mut attempt = with_fin(reused_request(), 5_005);
        attempt.sent_after_fin = true;
        let found = of(&Case::of_attempt(&attempt)).connection.expect("a connection");
        assert_eq!(found.requests, Some(2));
        assert_eq!((found.idle, found.origin_idle), (Some(9_995 * MS), Some(5 * SECOND)));
        assert_eq!(found.age, Some(10 * SECOND + MS));
        attempt.adopted = true;
        let found = of(&Case::of_attempt(&attempt)).connection.expect("a connection");
        assert_eq!((found.age, found.requests), (None, None));
        assert_eq!(of(&Case::of_attempt(&unanswered_request())).connection, None);
    }
}
