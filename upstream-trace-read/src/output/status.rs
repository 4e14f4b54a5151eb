//! What is being watched, and what cannot be seen: lines for stderr.

use upstream_trace_core::event::{Hook, Host, LossPlace, Lost};

use super::clock::Clock;
use super::escape::escape;
use super::layout::{DIM, GREEN, TextLayout, YELLOW, nbsp};
use super::number;

/// More processes than this are counted instead of listed.
const LISTED: usize = 8;

impl TextLayout {
    /// One line on what is watched, and one for each hook that is missing.
    pub(super) fn watching(self, host: &Host) -> String {
        let attached = host.hooks.iter().filter(|hook| hook.attached).count();
        let mut text = String::new();
        let what = format!(
            "{}, {} · {} · {}",
            pids("master", &host.masters),
            pids("worker", &host.workers),
            nbsp(&format!("kernel {}", escape(&host.kernel))),
            nbsp(&format!("{attached} of {} hooks", host.hooks.len())),
        );
        self.wrap(&mut text, &format!("{} nginx: ", self.paint(GREEN, "watching")), 4, &what);
        for hook in host.hooks.iter().filter(|hook| !hook.attached) {
            self.wrap(&mut text, "  ", 4, &self.missing(hook));
        }
        text
    }

    fn missing(self, hook: &Hook) -> String {
        let optional = |before, text: &Option<String>, after| match text {
            Some(text) => format!("{before}{}{after}", escape(text)),
            None => String::new(),
        };
        let (why, costs) = (optional(" (", &hook.why, ")"), optional(": ", &hook.costs, ""));
        format!("{} {}{why}{costs}", self.paint(YELLOW, "without"), escape(&hook.name))
    }

    /// One line on something about nginx itself.
    pub(super) fn note(self, time: &str, note: &str) -> String {
        let mut text = String::new();
        self.wrap(&mut text, &format!("{}  ", self.paint(DIM, time)), 4, &escape(note));
        text
    }

    /// One line on events that were lost.
    pub(super) fn lost(self, clock: Clock, lost: &Lost) -> String {
        let known = lost.known_place();
        let place = known.map_or(lost.place.as_str(), |place| place.text());
        let takes_proof = known.is_none_or(LossPlace::takes_proof);
        let rests = if takes_proof { " Verdicts on that time are not proven." } else { "" };
        let text = format!(
            "{} lost since {}: {}.{rests}",
            number::plural(lost.count, "event"),
            clock.time(lost.since),
            escape(place)
        );
        self.warning(&text)
    }

    /// One warning.
    pub(super) fn warning(self, what: &str) -> String {
        let mut text = String::new();
        self.wrap(&mut text, &format!("{} ", self.paint(YELLOW, "warning:")), 4, what);
        text
    }
}

fn pids(what: &str, pids: &[u32]) -> String {
    let plural = if pids.len() == 1 { "" } else { "s" };
    match pids {
        [] => format!("no {what}"),
        [_, ..] if pids.len() > LISTED => nbsp(&format!("{} {what}s", pids.len())),
        _ => {
            let list: Vec<_> = pids.iter().map(u32::to_string).collect();
            format!("{what}{plural} {}", list.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::NBSP;
    use super::super::layout::tests::assert_fits;
    use super::super::tests::host;
    use super::*;

    const PAGE: TextLayout = TextLayout { width: 80, colour: false };

    #[test]
    fn what_is_watched_and_what_is_missing() {
        let text = PAGE.watching(&host());
        assert_eq!(
            text,
            "\
watching nginx: master 1712, workers 1713 1714 · kernel 6.12.0 · 1 of 2 hooks
  without tcp_v4_err (kprobes are locked down): the sender of an ICMP error is
    not known
"
        );
        for width in [40, 60, 80] {
            assert_fits(&TextLayout { width, colour: false }.watching(&host()), width);
        }
    }

    #[test]
    fn many_workers_are_counted() {
        assert_eq!(pids("worker", &[]), "no worker");
        assert_eq!(pids("worker", &[7]), "worker 7");
        assert_eq!(pids("worker", &(1..=64).collect::<Vec<_>>()).replace(NBSP, " "), "64 workers");
    }

    #[test]
    fn losses_say_what_to_do() {
        let lost = Lost {
            at: 2_000_000_000,
            count: 1234,
            place: "connection-map".into(),
            since: 1_000_000_000,
            upstream: None,
        };
        let text = PAGE.lost(Clock::default(), &lost);
        assert!(text.starts_with("warning: 1,234 events lost since 00:00:01.000Z: "), "{text}");
        assert!(text.contains("--max-connections"), "{text}");
        assert_fits(&text, 80);
    }
}
