//! What was seen of an attempt, in order of time, for people and for the output.

mod facts;
mod kind;
mod packets;
mod socket;

use serde_json::{Map, Value, json};

use crate::case::{Case, alert_name};
use crate::dns::code_name;
use crate::errno;
use crate::event::{Moment, Nanos, Outcome, Step};
use crate::icmp;
use crate::verdict::Evidence;

pub use kind::{Kind, Look};

/// Everything known about a case that verdicts rest on.
#[must_use]
pub fn of(case: &Case<'_>) -> Vec<Evidence> {
    let since = case.since();
    let mut all = Vec::new();
    from_trail(case, &mut all);
    from_lookup(case, &mut all);
    packets::from_packets(case, &mut all);
    packets::from_closed(case, &mut all);
    packets::from_exits(case, &mut all);
    from_connect(case, &mut all);
    socket::from_socket(case, &mut all);
    facts::from_facts(case, &mut all);
    facts::from_siblings(case, &mut all);
    from_log(case, &mut all);
    all.sort_by_key(|(at, _, _)| *at);
    all.into_iter()
        .map(|(at, what, details)| Evidence { at_ms: ms(at, since), what: what.id().to_owned(), details })
        .collect()
}

type Entry = (Nanos, Kind, Map<String, Value>);

fn entry(at: Nanos, what: Kind, details: Value) -> Entry {
    (at, what, fields(details))
}

/// Those that are known.
fn fields(details: Value) -> Map<String, Value> {
    let mut details = if let Value::Object(details) = details { details } else { Map::new() };
    details.retain(|_, value| !value.is_null());
    details
}

/// Milliseconds since the begin, three decimals, negative before it.
fn ms(at: Nanos, since: Nanos) -> f64 {
    let microseconds = (i128::from(at) - i128::from(since)) / 1_000;
    microseconds as f64 / 1e3
}

fn from_trail(case: &Case<'_>, all: &mut Vec<Entry>) {
    for moment in &case.attempt.trail {
        let told_better = match &moment.step {
            Step::Dropped { reason } => case.drops.iter().any(|packet| packet.reason == *reason),
            _ => false,
        };
        if !told_better {
            let (at, what, mut details) = of_step(case, moment);
            if moment.count > 1 {
                details.insert("count".to_owned(), moment.count.into());
                details.insert("span_ms".to_owned(), moment.span_ms.into());
            }
            all.push((at, what, details));
        }
    }
}

/// Questions to name servers, and what came of them.
fn from_lookup(case: &Case<'_>, all: &mut Vec<Entry>) {
    let Some(lookup) = case.lookup else { return };
    for asked in &lookup.asked {
        let server = asked.server.to_string();
        let transport = asked.tcp.then_some("tcp");
        all.push(entry(
            asked.at,
            Kind::QuerySent,
            json!({"name": lookup.name, "type": asked.kind, "server": server, "transport": transport}),
        ));
        let Some(got) = &asked.got else { continue };
        let (what, mut details) = match &got.what {
            Outcome::Answer { code, records } => {
                (Kind::Answer, json!({"code": code, "name": code_name(*code), "records": records}))
            }
            Outcome::Ignored(why) => (Kind::AnswerIgnored, json!({"reason": why})),
            Outcome::NotSent { errno } => (Kind::SendError, error(*errno)),
            Outcome::Error { errno } => (Kind::Error, error(*errno)),
        };
        details["server"] = server.into();
        details["type"] = asked.kind.as_str().into();
        all.push(entry(got.at, what, details));
    }
    let silent = lookup.silent().count();
    if silent > 0 {
        all.push(entry(case.attempt.seen, Kind::NoAnswer, json!({"queries": silent})));
    }
}

fn of_step(case: &Case<'_>, moment: &Moment) -> Entry {
    let details = match &moment.step {
        Step::SynSent
        | Step::Retransmit { errno: 0 }
        | Step::Established
        | Step::SendBlocked
        | Step::Eof
        | Step::Closed
        | Step::SynAckAgain
        | Step::TlsDone => json!({}),
        Step::Request { bytes } | Step::TlsHello { bytes } => json!({"bytes": bytes}),
        Step::Response { bytes } => json!({"bytes": bytes, "status": case.attempt.error_status}),
        Step::TlsAnswer { bytes } => json!({"bytes": bytes, "head": case.attempt.non_tls_prefix}),
        Step::Fin { unacked } | Step::Reset { unacked } => json!({"unacked": unacked}),
        Step::Dropped { reason } => json!({"reason": reason}),
        Step::Icmp { kind, code } => {
            let known = case.attempt.icmp.as_ref();
            json!({
                "type": kind,
                "code": code,
                "means": icmp::name(*kind, *code),
                "from": known.map(|icmp| icmp.from.to_string()),
                "local": known.map(|icmp| icmp.local),
            })
        }
        Step::Retransmit { errno }
        | Step::Error { errno }
        | Step::SendError { errno }
        | Step::RecvError { errno } => error(*errno),
        Step::TlsAlert { alert } | Step::TlsRefused { alert } => alert_details(*alert),
    };
    entry(moment.at, kind_of(&moment.step), details)
}

/// The kind of evidence that a step of the connection is.
fn kind_of(step: &Step) -> Kind {
    match step {
        Step::SynSent => Kind::SynSent,
        Step::Retransmit { .. } => Kind::Retransmit,
        Step::Established => Kind::Established,
        Step::Request { .. } => Kind::Request,
        Step::Response { .. } => Kind::Response,
        Step::Fin { .. } => Kind::Fin,
        Step::Reset { .. } => Kind::Reset,
        Step::Dropped { .. } => Kind::Dropped,
        Step::Icmp { .. } => Kind::Icmp,
        Step::Error { .. } => Kind::Error,
        Step::SendBlocked => Kind::SendBlocked,
        Step::SendError { .. } => Kind::SendError,
        Step::RecvError { .. } => Kind::RecvError,
        Step::Eof => Kind::Eof,
        Step::Closed => Kind::ClosedByNginx,
        Step::SynAckAgain => Kind::SynAckAgain,
        Step::TlsHello { .. } => Kind::TlsHello,
        Step::TlsAnswer { .. } => Kind::TlsAnswer,
        Step::TlsAlert { .. } => Kind::TlsAlert,
        Step::TlsRefused { .. } => Kind::TlsAlertSent,
        Step::TlsDone => Kind::TlsDone,
    }
}

fn alert_details(alert: Option<u8>) -> Value {
    json!({"alert": alert, "name": alert.map(alert_name)})
}

fn error(errno: i32) -> Value {
    let errno = errno.saturating_abs();
    json!({"errno": errno, "name": errno::name(errno)})
}

fn from_connect(case: &Case<'_>, all: &mut Vec<Entry>) {
    if let Some(connect) = case.connect {
        all.push(entry(connect.at, Kind::ConnectError, error(connect.errno)));
    } else if case.attempt.no_local_port {
        all.push(entry(case.attempt.seen, Kind::ConnectError, error(errno::EADDRNOTAVAIL)));
    }
}

/// nginx's own words, also where they contradict what the kernel saw. The time is that at which the line was read.
fn from_log(case: &Case<'_>, all: &mut Vec<Entry>) {
    let lines = case.log.into_iter().chain(case.complaint);
    all.extend(lines.map(|line| entry(line.at, Kind::Log, json!({"message": line.message}))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_may_stand_where_an_errno_should() {
        assert_eq!(error(-111)["errno"], 111);
        assert_eq!(error(i32::MIN)["errno"], i32::MAX);
    }
}
