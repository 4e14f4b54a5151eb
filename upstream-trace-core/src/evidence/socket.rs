//! What the socket knew at the end.

use serde_json::json;

use super::{Entry, Kind, entry};
use crate::case::Case;
use crate::event::Step;
use crate::icmp;

/// What the socket knew at the end, and what the trail had no room for.
pub(super) fn from_socket(case: &Case<'_>, all: &mut Vec<Entry>) {
    let (attempt, socket) = (&case.attempt, &case.attempt.socket);
    let noted = |fits: fn(&Step) -> bool| case.step(fits).is_some();
    if let Some(icmp) = attempt.icmp.as_ref().filter(|_| !noted(|step| matches!(step, Step::Icmp { .. }))) {
        let details = json!({
            "type": icmp.kind,
            "code": icmp.code,
            "means": icmp::name(icmp.kind, icmp.code),
            "from": icmp.from.to_string(),
            "local": icmp.local,
        });
        all.push(entry(attempt.seen, Kind::Icmp, details));
    }
    for (at, what) in [(attempt.reset, Kind::Reset), (attempt.fin, Kind::Fin)] {
        let missing = !all.iter().any(|(_, seen, _)| *seen == what);
        all.extend(at.filter(|_| missing).map(|at| entry(at, what, json!({}))));
    }
    if case.tcp() && attempt.established.is_some() && attempt.request.is_some() {
        let what = if socket.unacked > 0 { Kind::Unacked } else { Kind::Acked };
        let window = (attempt.send_blocked || socket.unsent > 0).then_some(socket.peer_window);
        let positive = |bytes: u32| (bytes > 0).then_some(bytes);
        let details = json!({
            "bytes": if socket.unacked > 0 { u64::from(socket.unacked) } else { socket.acked },
            "unsent": positive(socket.unsent),
            "unread": positive(socket.unread),
            "peer_window": window,
        });
        all.push(entry(attempt.seen, what, details));
    }
}
