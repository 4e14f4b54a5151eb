//! The numbers at the end, for people.

use upstream_trace_core::cause::category;
use upstream_trace_core::verdict::{CauseCount, Percentiles, Summary, UpstreamSummary};

use super::about::{named, place};
use super::block::upstream;
use super::clock::Clock;
use super::escape::escape;
use super::layout::{BOLD, NBSP, TextLayout};
use super::number::{self, count, plural};
use super::table::{left, right};
use super::{Accounts, Cost, Extra};

impl TextLayout {
    /// Everything that is said at the end; `verbose` adds what the tool itself cost.
    pub(super) fn summary(self, clock: Clock, summary: &Summary, extra: &Extra, verbose: bool) -> String {
        let mut text = String::new();
        self.wrap(&mut text, "", 0, &headline(summary));
        if !summary.by_cause.is_empty() {
            text.push('\n');
            self.causes(&mut text, clock, summary);
        }
        if !summary.upstreams.is_empty() {
            text.push('\n');
            self.upstreams(&mut text, &summary.upstreams);
        }
        let mut remarks = Vec::new();
        if summary.lost > 0 {
            let of = |(place, number): (&String, &u64)| format!("{} {}", escape(place), count(*number));
            let places: Vec<_> = summary.lost_by_place.iter().map(of).collect();
            let places = if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) };
            let (lost, were) =
                (plural(summary.lost, "event"), if summary.lost == 1 { "was" } else { "were" });
            remarks.push(format!(
                "{lost} {were} lost{places}: the numbers above may be too low; verdicts that may lack evidence for it are \
                 not called proven."
            ));
        }
        let log = summary.log_lines;
        if log.seen > 0 {
            let seen = plural(log.seen, "upstream line");
            remarks.push(format!(
                "error.log: {seen}, {} matched to an attempt{}.",
                count(log.joined),
                of_lost(log.lost)
            ));
        }
        remarks.extend(extra.accounts.as_ref().and_then(|accounts| accounts_of(accounts, verbose)));
        for remark in remarks {
            text.push('\n');
            self.wrap(&mut text, "", 0, &remark);
        }
        if let Some(cost) = extra.cost.as_ref().filter(|_| verbose) {
            text.push('\n');
            self.cost(&mut text, cost);
        }
        text
    }

    fn causes(self, text: &mut String, clock: Clock, summary: &Summary) {
        let several = summary.by_cause.windows(2).any(|two| two[0].workload != two[1].workload);
        let row = |cause: &CauseCount| {
            let upstream = named(cause.group.as_deref(), cause.upstream.as_ref()).replace(NBSP, " ");
            let place = cause.workload.as_ref().filter(|_| several).and_then(place);
            [
                count(cause.count),
                cause.cause.to_owned(),
                cause.reason.and_then(category).unwrap_or("-").to_owned(),
                clock.short(cause.first, summary.duration),
                clock.short(cause.last, summary.duration),
                place.map_or_else(|| upstream.clone(), |place| format!("{upstream} from {place}")),
            ]
        };
        let columns = [
            right("", "count"),
            left("cause"),
            left("reason"),
            left("first UTC"),
            left("last UTC"),
            left("upstream"),
        ];
        self.table(text, columns, &summary.by_cause.iter().map(row).collect::<Vec<_>>());
    }

    fn upstreams(self, text: &mut String, upstreams: &[UpstreamSummary]) {
        let all = upstreams.iter().flat_map(|one| [one.connect, one.first_byte]).flatten();
        let bounds = all.into_iter().any(|found| found.bound_only);
        // In the heads and not at each number, so that a row fits into 80 columns.
        let heads = if bounds { "p50<= p99<=" } else { "p50   p99" };
        let row = |one: &UpstreamSummary| {
            [
                count(one.attempts),
                count(one.established),
                count(one.requests),
                count(one.failures),
                percentiles(one.connect),
                percentiles(one.first_byte),
                one.upstream.as_ref().map_or_else(|| "(all others)".to_owned(), |one| upstream(Some(one))),
            ]
        };
        let columns = [
            right("", "attempts"),
            right("", "estab."),
            right("", "requests"),
            right("", "failed"),
            right("connect, ms", heads),
            right("first byte, ms", heads),
            left("upstream"),
        ];
        self.table(text, columns, &upstreams.iter().map(row).collect::<Vec<_>>());
    }

    fn cost(self, text: &mut String, cost: &Cost) {
        let resident = cost.rss_bytes as f64 / f64::from(1 << 20);
        self.wrap(
            text,
            "",
            0,
            &format!("Attached in {:.0} ms, {resident:.1} MiB resident.", cost.startup_ms),
        );
        if cost.overhead.is_empty() {
            return;
        }
        text.push('\n');
        let rows: Vec<_> = cost
            .overhead
            .iter()
            .map(|hook| [count(hook.runs), count(hook.mean_ns), self.paint(BOLD, &hook.name).into_owned()])
            .collect();
        self.table(text, [right("", "runs"), right("", "mean ns"), left("hook")], &rows);
    }
}

fn headline(summary: &Summary) -> String {
    let time = number::duration(summary.duration);
    let requests = summary.upstreams.iter().fold(0_u64, |sum, one| sum.saturating_add(one.requests));
    let (attempts, requests) = (plural(summary.attempts, "attempt"), plural(requests, "request"));
    let known = summary.upstreams.iter().filter(|one| one.upstream.is_some()).count();
    let more = if known < summary.upstreams.len() { "more than " } else { "" };
    let traffic = format!("{attempts}, {requests} to {more}{}", plural(known as u64, "upstream"));
    match summary.failures {
        0 if summary.attempts == 0 && summary.upstreams.is_empty() => {
            format!("nginx made no upstream connection in {time}.")
        }
        0 => format!("No attempt failed in {time} ({traffic})."),
        failures => {
            let recovered = match summary.recovered {
                0 => String::new(),
                recovered => format!(", {} of them recovered by a retry", count(recovered)),
            };
            format!("{} in {time}{recovered} ({traffic}).", plural(failures, "failed attempt"))
        }
    }
}

/// Lines about attempts that were lost, or over before the start, for a sentence.
pub(crate) fn of_lost(lines: u64) -> String {
    if lines == 0 { String::new() } else { format!(", {} of attempts that were not seen", count(lines)) }
}

/// `0.13   1.0`: half and 99 of 100.
fn percentiles(of: Option<Percentiles>) -> String {
    of.map_or_else(
        || format!("{:>5} {:>5}", "-", "-"),
        |of| format!("{:>5} {:>5}", number::ms(of.p50_us), number::ms(of.p99_us)),
    )
}

/// Where all attempts are; without `verbose` only that some are nowhere.
fn accounts_of(accounts: &Accounts, verbose: bool) -> Option<String> {
    let lost = accounts.lost_buffer + accounts.lost_table;
    if accounts.missing != 0 {
        return Some(format!(
            "Internal error: the accounts are off by {} attempts; please report it. The numbers above may be wrong by as \
             many.",
            accounts.missing
        ));
    }
    verbose.then(|| {
        format!(
            "Accounts: {} = {} healthy + {} ended by clients or exits + {} reported + {} lost + {} open.",
            plural(accounts.attempts + accounts.adopted, "attempt"),
            count(accounts.healthy),
            count(accounts.aborted),
            count(accounts.reported + accounts.vanished),
            count(lost),
            count(accounts.live)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::assert_fits;
    use upstream_trace_core::event::Workload;
    use upstream_trace_core::verdict::LogLines;

    use super::super::tests::{extra, host, summary};
    use super::*;

    const PAGE: TextLayout = TextLayout { width: 80, colour: false };

    fn text(summary: &Summary, verbose: bool) -> String {
        PAGE.summary(Clock::new(&host()), summary, &extra(), verbose)
    }

    #[test]
    fn failures_by_cause_and_by_upstream() {
        let text = text(&summary(), false);
        assert_eq!(
            text,
            "\
38 failed attempts in 60 s, 30 of them recovered by a retry (1,234 attempts,
5,678 requests to more than 1 upstream).

count  cause         reason        first UTC  last UTC  upstream
   37  port-refused  service-down  09:12:01   09:12:59  backend: 10.0.0.2:80
    1  unknown       -             09:12:02   09:12:02  (unknown)

                                    connect, ms  first byte, ms
attempts  estab.  requests  failed    p50   p99       p50   p99  upstream
   1,197   1,160     5,600      37   0.13   1.0        16 1,049  10.0.0.2:80
      37      37        78       1      -     -         -     -  (all others)
"
        );
    }

    #[test]
    fn several_nginx_are_told_apart() {
        let in_unit = |name: &str| Some(Workload::Unit(name.to_owned()));
        let mut several = summary();
        let other = CauseCount { workload: in_unit("b.service"), count: 2, ..several.by_cause[0].clone() };
        several.by_cause[0].workload = in_unit("a.service");
        several.by_cause[1].workload = Some(Workload::Cgroup("/user.slice".to_owned()));
        several.by_cause.push(other);
        let told = text(&several, false);
        for row in ["10.0.0.2:80 from a.service\n", "10.0.0.2:80 from b.service\n", "(unknown)\n"] {
            assert!(told.contains(row), "{told}");
        }
        several.by_cause.truncate(1);
        let told = text(&several, false);
        assert!(!told.contains(" from "), "one needs no name: {told}");
    }

    #[test]
    fn what_is_only_a_bound_is_marked() {
        let mut coarse = summary();
        let of =
            |p50_us, p99_us| Some(Percentiles { p50_us, p99_us, bound_only: true, ..Percentiles::default() });
        (coarse.upstreams[0].connect, coarse.upstreams[0].first_byte) = (of(16, 1024), of(16_384, 1 << 20));
        let text = text(&coarse, false);
        assert!(text.contains("failed  p50<= p99<=     p50<= p99<=  upstream"), "{text}");
        assert!(text.contains("37  0.016   1.0        16 1,049  "), "{text}");
    }

    #[test]
    fn nothing_failed() {
        let mut quiet = summary();
        (quiet.failures, quiet.recovered) = (0, 0);
        quiet.by_cause.clear();
        quiet.upstreams.truncate(1);
        let text = text(&quiet, false);
        let first = "No attempt failed in 60 s (1,234 attempts, 5,600 requests to 1 upstream).";
        assert_eq!(text.lines().next(), Some(first));
        assert!(
            PAGE.summary(Clock::default(), &Summary::default(), &Extra::default(), false)
                .contains("no upstream connection")
        );
    }

    #[test]
    fn losses_and_costs_are_told() {
        let mut lossy = summary();
        lossy.lost = 12;
        lossy.lost_by_place = [("packets".to_owned(), 2), ("ring-buffer".to_owned(), 10)].into();
        lossy.log_lines = LogLines { seen: 5, joined: 2, lost: 3, passed_over: 0 };
        let brief = text(&lossy, false);
        assert!(brief.contains("12 events were lost (packets 2, ring-buffer 10): the numbers"), "{brief}");
        let lines = "error.log: 5 upstream lines, 2 matched to an attempt, 3 of attempts that were not seen.";
        assert!(brief.replace('\n', " ").contains(lines), "{brief}");
        assert!(!brief.contains("mean ns"), "{brief}");
        let verbose = text(&lossy, true);
        assert!(verbose.contains("Attached in 85 ms, 12.0 MiB resident."), "{verbose}");
        assert!(verbose.contains("120,000       73  inet_sock_set_state"), "{verbose}");
        assert_fits(&verbose, 80);
    }

    #[test]
    fn what_is_not_accounted_for_is_always_said() {
        let mut extra = Extra::default();
        let mut accounts = Accounts { attempts: 12, healthy: 7, reported: 3, live: 2, ..Accounts::default() };
        extra.accounts = Some(accounts);
        let text = |extra: &Extra, verbose| PAGE.summary(Clock::default(), &summary(), extra, verbose);
        assert!(!text(&extra, false).contains("ccounted for"));
        assert!(text(&extra, true).contains("Accounts: 12 attempts = 7 healthy + 0 ended"));
        accounts.missing = -1;
        extra.accounts = Some(accounts);
        assert!(text(&extra, false).contains("off by -1 attempts"));
    }

    #[test]
    fn every_width_holds() {
        for width in 70..=100 {
            assert_fits(
                &TextLayout { width, colour: false }.summary(Clock::default(), &summary(), &extra(), true),
                width,
            );
        }
    }
}
