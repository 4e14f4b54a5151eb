//! A storm of failures: every connection is refused.

use anyhow::Result;
use serde_json::{Value, json};

use super::load::{Load, Sample};
use super::table::Table;
use super::tracer::{Report, Tracer, Tracers};
use super::world::{REFUSING, World};
use super::{Plan, count, interrupted, percent};
use crate::say::say;

/// Clients that ask one request each so many milliseconds, about 5,000 requests and so 20,000 failures a second.
const PACED: Load = Load { path: "/refused", seconds: 0, clients: 60, pause_ms: 10 };

/// Measures, prints, and returns the numbers.
pub(super) fn measure(plan: &Plan, tracers: &Tracers<'_>) -> Result<Value> {
    let world = World::new(2)?;
    let columns = ["storm", "failures/s", "of bare", "told", "not refused", "lost", "tracer cpu", "MiB"];
    let mut table = Table::new("Failure storm: every connection is refused", &columns);
    let seconds = plan.seconds.max(3);
    let mut all = Vec::new();
    for (name, load) in
        [("paced", Load { seconds, ..PACED }), ("as fast as it goes", Load::full("/refused", seconds))]
    {
        interrupted()?;
        say("Storm", name);
        let before = load.run(&world)?;
        let session = tracers.start(Tracer::Tool, &world)?;
        let sample = load.run(&world)?;
        let report = session.stop()?;
        let bare = f64::midpoint(before.rate, load.run(&world)?.rate);
        let numbers = numbers(name, bare, sample, &report, seconds);
        table.row(row(&numbers));
        all.push(numbers);
    }
    print!("{}", table.text());
    Ok(all.into())
}

fn numbers(name: &str, bare: f64, sample: Sample, report: &Report, seconds: u64) -> Value {
    let causes = report.summary["by_cause"].as_array().cloned().unwrap_or_default();
    let of = |refused: bool| -> u64 {
        let chosen = causes.iter().filter(|cause| (cause["cause"] == "port-refused") == refused);
        chosen.filter_map(|cause| cause["count"].as_u64()).sum()
    };
    json!({
        "storm": name,
        "failures_per_second": sample.rate * REFUSING as f64,
        "ratio": sample.rate / bare,
        "requests": sample.requests,
        "causes": causes,
        "told": of(true),
        "told_otherwise": of(false),
        "attempts": report.summary["attempts"],
        "lost": report.lost,
        "tracer_cpu": report.cpu_ns as f64 / (seconds as f64 * 1e9),
        "tracer_resident_kib": report.resident_kib,
    })
}

fn row(numbers: &Value) -> Vec<String> {
    let number = |name: &str| numbers[name].as_f64().unwrap_or(f64::NAN);
    vec![
        numbers["storm"].as_str().unwrap_or_default().to_owned(),
        count(number("failures_per_second")),
        format!("{:.3}", number("ratio")),
        format!("{} of {}", count(number("told")), count(number("attempts"))),
        count(number("told_otherwise")),
        count(number("lost")),
        percent(number("tracer_cpu")),
        format!("{:.1}", number("tracer_resident_kib") / 1024.0),
    ]
}
