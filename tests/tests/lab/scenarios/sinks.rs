//! Collectors that are away, slow or mad: tracing goes on, what is dropped is counted and told, and nothing grows.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::Value;
use upstream_trace_tests::service::{Odd, Receiver, crowd, free_address, get};
use upstream_trace_tests::tool::Tool;
use upstream_trace_tests::util::{ms, resident_kib, wait_until};
use upstream_trace_tests::{Lab, Scenario};

use super::load::requests;

const V4: &str = "10.99.0.2:8081";
/// More than wait for a receiver: 2,048, and a batch of 256.
const STORM: usize = 2_600;
/// How long the receiver is away.
const AWAY: Duration = Duration::from_mins(1);
/// For what was lost to be counted everywhere.
const COUNTED: Duration = Duration::from_secs(3);
/// From one try to the next one, at most.
const PAUSE: Duration = Duration::from_secs(40);
/// For a failure to be told.
const AT_ONCE: Duration = Duration::from_secs(5);
/// What a program may grow by that has reached its bounds: allocators keep some.
const GROWTH_KIB: u64 = 8 << 10;

pub(crate) const ALL: &[Scenario] = &[
    ("sinks/receiver-away-for-a-minute", away),
    ("sinks/odd-receivers", |lab| Odd::ALL.into_iter().try_for_each(|odd| odd_receiver(lab, odd))),
    ("sinks/crowd-of-scrapers", scraped_by_a_crowd),
];

/// Failures go on for a minute without a receiver; then it gets those that waited.
fn away(lab: &Lab) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let (address, metrics) = (free_address()?, free_address()?);
    let trace = world.trace(&["--otlp", &format!("http://{address}"), "--metrics", &metrics.to_string()])?;
    let begun = Instant::now();
    requests(&world, STORM, false, |_| ("/", 502))?;
    let Some(pid) = trace.pid() else { return Ok(()) };
    trace.wait_failures(STORM, AT_ONCE);
    let before = resident_kib(pid)?;
    let mut count = STORM;
    while begun.elapsed() + COUNTED < AWAY {
        world.get("/").status(502);
        count += 1;
        trace.wait_failures(count, AT_ONCE);
        thread::sleep(ms(500));
    }
    let grown = resident_kib(pid)?.saturating_sub(before);
    lab.check(grown < GROWTH_KIB, || format!("it grew by {grown} KiB from {before}"));
    let in_metrics = || lost_in(&get(metrics, "/metrics").unwrap_or_default());
    wait_until("lost events in the metrics", AT_ONCE, || in_metrics() > 0)?;
    thread::sleep(AWAY.saturating_sub(begun.elapsed()));
    let receiver = Receiver::start_at(address)?;
    let kept = count - usize::try_from(in_metrics())?;
    receiver.wait(kept, PAUSE)?;
    world.get("/").status(502);
    receiver.wait(kept + 1, AT_ONCE)?;
    let seen = trace.finish()?;
    seen.failures(count + 1, "port-refused", |failure| drop(failure.upstream(V4)));
    // A storm of resets costs some packets as well.
    let lost = seen.summary()["lost_by_place"]["otlp"].as_u64().unwrap_or_default();
    lab.check(lost == (count - kept) as u64, || format!("the summary counts {lost} lost of {count}"));
    let told: u64 = seen.of_type("lost").map(of_otlp).sum();
    lab.check(told == lost, || format!("{told} of {lost} lost events were told"));
    Ok(())
}

/// The number of a `lost` line, if its place is `otlp`.
fn of_otlp(lost: &Value) -> u64 {
    lost["count"].as_u64().filter(|_| lost["where"] == "otlp").unwrap_or_default()
}

fn lost_in(metrics: &str) -> u64 {
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("upstream_trace_lost_events_total{where=\"otlp\"} "));
    count.and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Failures are told at once whatever the receiver does, the end is not held up, and it says what became of the events.
fn odd_receiver(lab: &Lab, odd: Odd) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let url = odd.start()?;
    let trace = world.trace(&["--otlp", &url])?;
    let before = trace.pid().map(resident_kib).transpose()?.unwrap_or_default();
    for count in 1..=3 {
        world.get("/").status(502);
        trace.wait_failures(count, AT_ONCE);
    }
    // Some time to do what is odd.
    world.pause(ms(1_500));
    let Some(tool) = trace.into_tool() else { return Ok(()) };
    let grown = resident_kib(tool.pid())?.saturating_sub(before);
    lab.check(grown < GROWTH_KIB, || format!("{odd:?}: it grew by {grown} KiB from {before}"));
    told_at_the_end(lab, odd, tool)
}

fn told_at_the_end(lab: &Lab, odd: Odd, tool: Tool) -> Result<()> {
    let ended = tool.stop(Signal::SIGINT)?;
    lab.note(&format!("the tool, {odd:?}"), &ended.said());
    lab.check(ended.status.success(), || format!("{odd:?}: {}", ended.status));
    let objects = ended.lines.iter().filter_map(|(_, line)| serde_json::from_str::<Value>(line).ok());
    let counted: u64 = objects.filter(|object| object["type"] == "lost").map(|lost| of_otlp(&lost)).sum();
    let unsent = ended.stderr.lines().any(|line| line.contains("3 events could not be sent"));
    // What makes no sense to send again is lost at once; the rest is still tried when the end comes.
    let refused = [Odd::WebServer, Odd::EndlessBody].contains(&odd);
    lab.check(if refused { counted == 3 } else { unsent }, || {
        format!("{odd:?}: {counted} counted as lost; it says {}", ended.stderr)
    });
    Ok(())
}

/// A thousand connections that are no scrapers hold up neither the trace nor a scraper.
fn scraped_by_a_crowd(lab: &Lab) -> Result<()> {
    let world = lab.world().upstream(V4).start()?;
    let address = free_address()?;
    let trace = world.trace(&["--metrics", &address.to_string()])?;
    let Some(pid) = trace.pid() else { return Ok(()) };
    let before = resident_kib(pid)?;
    let crowd = crowd(address, 1_000)?;
    for count in 1..=3 {
        world.get("/").status(502);
        trace.wait_failures(count, AT_ONCE);
        let text = get(address, "/metrics")?;
        lab.check(text.contains("upstream_trace_failures_total{"), || format!("the scraper gets {text}"));
    }
    let grown = resident_kib(pid)?.saturating_sub(before);
    lab.check(grown < GROWTH_KIB, || format!("it grew by {grown} KiB from {before}"));
    drop(crowd);
    let seen = trace.finish()?;
    seen.failures(3, "port-refused", |failure| drop(failure.upstream(V4)));
    seen.nothing_else();
    Ok(())
}
