//! The numbers as text: `OpenMetrics`, and Prometheus' older format for `node_exporter`.

use std::fmt::{self, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use upstream_trace_core::verdict::Confidence;

use super::numbers::{FailureSeries, Numbers, PendingSeries, Where};
use super::samples::{Histogram, Totals};

/// `OpenMetrics` 1.0.
pub(super) fn openmetrics(numbers: Numbers) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition(numbers)));
    let mut text = String::new();
    // A string takes everything.
    let _whole = text::encode(&mut text, &registry);
    text
}

/// The text format 0.0.4, the only one that the textfile collector reads: there a counter is called in `# TYPE` as in
/// its samples, and there is neither a unit nor an end.
pub(super) fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "untyped"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some(words) = help.take().and_then(|help| help.splitn(4, ' ').nth(3)) {
                let _whole = writeln!(text, "# HELP {name}{suffix} {words}");
            }
            let _whole = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[derive(Debug)]
struct Exposition(Numbers);

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.about(&mut encoder)?;
        self.judged(&mut encoder)?;
        self.counted(&mut encoder)?;
        self.own_cost(&mut encoder)
    }
}

/// Name, description, and which of the numbers of a row.
type Column<T> = (&'static str, &'static str, fn(&Totals) -> &T);

/// Labels of one sample.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

fn counter<const N: usize>(to: &mut MetricEncoder<'_>, labels: Labels<'_, N>, value: u64) -> fmt::Result {
    to.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn gauge<const N: usize>(to: &mut MetricEncoder<'_>, labels: Labels<'_, N>, value: f64) -> fmt::Result {
    to.encode_family(&labels)?.encode_gauge(&value)
}

fn of_place(place: &Where) -> Labels<'_, 2> {
    [("upstream", &place.upstream), ("server", &place.server)]
}

fn confidence(of: Confidence) -> &'static str {
    match of {
        Confidence::Possible => "possible",
        Confidence::Likely => "likely",
        Confidence::Proven => "proven",
    }
}

fn truth(of: bool) -> &'static str {
    if of { "true" } else { "false" }
}

impl Exposition {
    fn about(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Always 1; version of upstream-trace";
        let mut to = encoder.encode_descriptor("upstream_trace_build_info", help, None, MetricType::Gauge)?;
        gauge(&mut to, [("version", &self.0.version)], 1.0)
    }

    fn judged(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Failed upstream attempts by cause; recovered: nginx retried with success, as known when it was told";
        let name = "upstream_trace_failures";
        let mut to = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (FailureSeries { place, cause, confidence: sure, recovered }, count) in &self.0.failures {
            let [upstream, server] = of_place(place);
            let rest =
                [("cause", *cause), ("confidence", confidence(*sure)), ("recovered", truth(*recovered))];
            counter(&mut to, [upstream, server, rest[0], rest[1], rest[2]], *count)?;
        }
        let help = "Upstream attempts that are in trouble and not over";
        let mut to = encoder.encode_descriptor("upstream_trace_pending", help, None, MetricType::Gauge)?;
        for (PendingSeries { place, cause }, count) in &self.0.pending {
            let [upstream, server] = of_place(place);
            gauge(&mut to, [upstream, server, ("cause", cause)], *count as f64)?;
        }
        let help = "Events that were lost, by place; verdicts may lack evidence";
        let mut to =
            encoder.encode_descriptor("upstream_trace_lost_events", help, None, MetricType::Counter)?;
        for (place, count) in &self.0.lost {
            counter(&mut to, [("where", place)], *count)?;
        }
        let help = "Lines of error.log about failed attempts; joined: the kernel saw the attempt";
        let mut to =
            encoder.encode_descriptor("upstream_trace_log_lines", help, None, MetricType::Counter)?;
        let lines = &self.0.vitals.log_lines;
        counter(&mut to, [("joined", "true")], lines.joined)?;
        counter(&mut to, [("joined", "false")], lines.seen.saturating_sub(lines.joined))?;
        let help = "Failures and pending attempts that were counted as other, as there were too many series";
        let mut to = encoder.encode_descriptor("upstream_trace_folded", help, None, MetricType::Counter)?;
        counter(&mut to, [], self.0.folded)
    }

    fn counted(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let rows = self.0.samples.rows();
        let counters: [Column<u64>; 4] = [
            ("upstream_trace_attempts", "Connections that nginx began", |of| &of.attempts),
            ("upstream_trace_established", "Handshakes that finished", |of| &of.established),
            ("upstream_trace_requests", "Requests of which nginx sent the first byte", |of| &of.requests),
            ("upstream_trace_responses", "Responses of which nginx read the first byte", |of| &of.responses),
        ];
        for (name, help, pick) in counters {
            let mut to = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (place, totals) in &rows {
                counter(&mut to, of_place(place), *pick(totals))?;
            }
        }
        let histograms: [Column<Histogram>; 2] = [
            ("upstream_trace_connect", "Time to connect; the sum is estimated from the buckets", |of| {
                &of.connect
            }),
            (
                "upstream_trace_first_byte",
                "Time from the first byte of a request to the first byte of its response; the sum is estimated",
                |of| &of.first_byte,
            ),
        ];
        for (name, help, pick) in histograms {
            let seconds = Some(&Unit::Seconds);
            let mut to = encoder.encode_descriptor(name, help, seconds, MetricType::Histogram)?;
            for (place, totals) in &rows {
                let Histogram { buckets, count, sum } = pick(totals);
                let labels = of_place(place);
                let mut to = to.encode_family(&labels)?;
                to.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
            }
        }
        Ok(())
    }

    fn own_cost(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let vitals = &self.0.vitals;
        let help = "Runs of a hook per second, measured now and then";
        let name = "upstream_trace_hook_runs_per_second";
        let mut to = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for hook in &vitals.hooks {
            gauge(&mut to, [("hook", &hook.name)], hook.per_second as f64)?;
        }
        let help = "Mean time of a run of a hook, measured now and then, with what measuring costs";
        let seconds = Some(&Unit::Seconds);
        let mut to =
            encoder.encode_descriptor("upstream_trace_hook_run", help, seconds, MetricType::Gauge)?;
        for hook in &vitals.hooks {
            gauge(&mut to, [("hook", &hook.name)], hook.mean_ns as f64 / 1e9)?;
        }
        let help = "Processor time of upstream-trace, without its hooks";
        let mut to = encoder.encode_descriptor("process_cpu", help, seconds, MetricType::Counter)?;
        to.encode_counter::<NoLabelSet, _, u64>(&vitals.cpu.as_secs_f64(), None)?;
        let (help, bytes) = ("Resident memory of upstream-trace", Some(&Unit::Bytes));
        let mut to = encoder.encode_descriptor("process_resident_memory", help, bytes, MetricType::Gauge)?;
        to.encode_gauge(&(vitals.rss_bytes as f64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::numbers::Counter;
    use super::*;
    use crate::output::testkit::{config, failure, sample, server};
    use upstream_trace_core::event::{LossPlace, Lost};
    use upstream_trace_core::verdict::Output;
    use upstream_trace_read::output::HookCost;

    fn numbers() -> Numbers {
        let mut counter = Counter::default();
        counter.config(&config("shop", &server(80)));
        counter.sample(&sample(Some(&server(80)), 3));
        for attempt in 0..2 {
            counter.output(&Output::Failure(failure(attempt, &server(80))));
        }
        counter.output(&Output::Pending(failure(9, &server(81))));
        counter.output(&Output::Lost(Lost::new(LossPlace::RingBuffer, 5, 0, 1)));
        counter.numbers
    }

    #[test]
    fn openmetrics_has_the_names_and_labels_of_the_conventions() {
        let text = openmetrics(numbers());
        for line in [
            "# TYPE upstream_trace_failures counter",
            "upstream_trace_failures_total{upstream=\"shop\",server=\"10.0.0.1:80\",cause=\"port-refused\",\
             confidence=\"proven\",recovered=\"false\"} 2",
            "upstream_trace_pending{upstream=\"\",server=\"10.0.0.1:81\",cause=\"port-refused\"} 1.0",
            "upstream_trace_attempts_total{upstream=\"shop\",server=\"10.0.0.1:80\"} 3",
            "upstream_trace_lost_events_total{where=\"ring-buffer\"} 5",
            "# UNIT upstream_trace_connect_seconds seconds",
            "upstream_trace_connect_seconds_count{upstream=\"shop\",server=\"10.0.0.1:80\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_older_format_calls_counters_by_their_samples() {
        let text = prometheus(&openmetrics(numbers()));
        assert!(
            text.contains("# TYPE upstream_trace_failures_total counter\nupstream_trace_failures_total{")
        );
        assert!(text.contains("# HELP process_cpu_seconds_total Processor time"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
    }

    /// Words of a text that are names of metrics; rules have a colon in their names.
    fn metrics_in(text: &str) -> impl Iterator<Item = &str> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
        words.filter(|word| word.starts_with("upstream_trace_") && !word.contains(':'))
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
        let mut numbers = numbers();
        let name = "hook".to_owned();
        numbers.vitals.hooks.push(HookCost { name, runs: 1, mean_ns: 100, per_second: 10 });
        let text = prometheus(&openmetrics(numbers));
        let there: BTreeSet<_> = metrics_in(&text).collect();
        for (file, asks) in [
            ("alerts", include_str!("../../../../packaging/prometheus/upstream-trace.rules.yml")),
            ("dashboard", include_str!("../../../../packaging/grafana/upstream-trace.json")),
        ] {
            let missing: Vec<_> = metrics_in(asks).filter(|name| !there.contains(name)).collect();
            assert!(missing.is_empty() && metrics_in(asks).count() > 4, "{file}: {missing:?}");
        }
    }
}
