//! Timeouts: of these a line is joined only when those around it are there as well.

use crate::engine::logjoin::align::{Silence, Written, align};
use crate::engine::logjoin::logs::{JoinKey, Logs};
use crate::errorlog::{Doing, Kind};
use crate::event::{AttemptId, Nanos};

impl Logs {
    /// Joins timeouts whose moment has passed; their failures.
    pub(in crate::engine) fn settle(&mut self, now: Nanos) -> Vec<AttemptId> {
        let mut keys = std::mem::take(&mut self.unsettled);
        while let Some(number) = self.settling.front() {
            match self.lines.get(number) {
                Some(waiting) if waiting.settles > now => break,
                Some(waiting) => drop(keys.insert(waiting.key.clone())),
                None => {}
            }
            self.settling.pop_front();
        }
        keys.into_iter().flat_map(|key| self.settle_at(&key, now, false)).collect()
    }

    pub(in crate::engine) fn settle_at(&mut self, key: &JoinKey, now: Nanos, late: bool) -> Vec<AttemptId> {
        let mut settled = Vec::new();
        for kind in Doing::ALL.map(Kind::TimedOut) {
            let numbers: Vec<u64> =
                self.by_key.get(key).into_iter().flatten().map(|(_, number)| *number).collect();
            let lines: Vec<_> = numbers
                .into_iter()
                .filter_map(|number| Some((number, self.lines.get(&number)?)))
                .filter(|(_, waiting)| waiting.kind == kind)
                .collect();
            let Some((_, first)) = lines.first().filter(|(_, first)| first.settles <= now) else { continue };
            let mut open: Vec<_> = (self.open.of(key))
                .filter(|open| open.signature.fits(kind, &first.line).is_some())
                .map(|open| (open.id, Silence { at: open.at, timer: open.signature.timer() }))
                .collect();
            open.sort_by_key(|(_, silence)| silence.at);
            let times: Vec<_> = lines.iter().map(|(_, waiting)| Written::of(&waiting.line)).collect();
            let silences: Vec<_> = open.iter().map(|(_, silence)| *silence).collect();
            // Lines that came later take their part of the failures, and settle later.
            let settles = lines.iter().take_while(|(_, waiting)| waiting.settles <= now).count();
            let pairs = align(&times, settles, &silences, late);
            let pairs: Vec<_> = pairs.into_iter().map(|(line, end)| (lines[line].0, open[end].0)).collect();
            for (number, id) in pairs {
                if let Some(waiting) = self.remove(number) {
                    self.join(key, id, *waiting.line);
                    settled.push(id);
                }
            }
        }
        settled
    }
}
