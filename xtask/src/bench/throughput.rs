//! What is left of nginx's throughput under each tracer: interleaved rounds, each compared with runs without any
//! tracer at both ends of the same round.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::load::{Load, Sample};
use super::numbers::Spread;
use super::table::Table;
use super::tracer::{Tracer, Tracers};
use super::world::World;
use super::{Plan, count, interrupted, percent};
use crate::say::say;

/// Name, location of the proxy.
pub(super) const WORKLOADS: [(&str, &str); 3] = [
    ("new connection per request", "/new"),
    ("keepalive", "/keepalive"),
    ("unix socket, new connection per request", "/unix"),
];

/// Everything about one tracer under one workload.
#[derive(Debug, Default)]
struct Cell {
    rate: Spread,
    /// Rate as part of the rate without a tracer.
    ratio: Spread,
    /// Processor time of nginx per request as a multiple of that without a tracer.
    cpu: Spread,
    p50_us: Spread,
    p99_us: Spread,
    tracer_cpu: Spread,
    resident_kib: Spread,
    lost: u64,
}

impl Cell {
    fn add(&mut self, sample: Sample, bare: Sample) {
        self.rate.add(sample.rate);
        self.ratio.add(sample.rate / bare.rate);
        self.cpu.add(sample.cpu_us / bare.cpu_us);
        self.p50_us.add(sample.p50_us as f64);
        self.p99_us.add(sample.p99_us as f64);
    }
}

type Cells = BTreeMap<Tracer, Cell>;

/// Measures, prints, and returns the numbers.
pub(super) fn measure(plan: &Plan, tracers: &Tracers<'_>) -> Result<Value> {
    let world = World::new(2)?;
    let mut all: [Cells; 3] = Default::default();
    for round in 0..plan.rounds {
        for ((name, path), cells) in WORKLOADS.iter().zip(&mut all) {
            say("Round", format!("{} of {}, {name}", round + 1, plan.rounds));
            run_round(plan, tracers, &world, round, path, cells)?;
        }
    }
    for ((name, _), cells) in WORKLOADS.iter().zip(&all) {
        print!("{}", table(name, cells).text());
    }
    let workloads = WORKLOADS.iter().zip(&all);
    Ok(workloads.map(|((name, _), cells)| json!({ "workload": name, "tracers": to_json(cells) })).collect())
}

fn run_round(
    plan: &Plan,
    tracers: &Tracers<'_>,
    world: &World,
    round: usize,
    path: &'static str,
    cells: &mut Cells,
) -> Result<()> {
    let load = Load::full(path, plan.seconds);
    let mut watched = plan.tracers(round);
    if path == "/unix" {
        // There is no packet to capture.
        watched.retain(|tracer| *tracer != Tracer::Tcpdump);
    }
    // Whoever comes first has the warmer caches, or the colder ones: not always the same.
    let turn = round % watched.len().max(1);
    watched.rotate_left(turn);
    let before = load.run(world)?;
    let mut samples = Vec::new();
    for tracer in watched {
        interrupted()?;
        let session = tracers.start(tracer, world)?;
        let sample = load.run(world)?;
        let report = session.stop()?;
        let cell = cells.entry(tracer).or_default();
        cell.tracer_cpu.add(report.cpu_ns as f64 / (plan.seconds as f64 * 1e9));
        cell.resident_kib.add(report.resident_kib as f64);
        cell.lost += report.lost;
        samples.push((tracer, sample));
    }
    let after = load.run(world)?;
    let bare = Sample {
        rate: f64::midpoint(before.rate, after.rate),
        cpu_us: f64::midpoint(before.cpu_us, after.cpu_us),
        ..before
    };
    for sample in [before, after] {
        cells.entry(Tracer::Nothing).or_default().add(sample, bare);
    }
    for (tracer, sample) in samples {
        cells.entry(tracer).or_default().add(sample, bare);
    }
    Ok(())
}

fn table(name: &str, cells: &Cells) -> Table {
    let columns = [
        "watched by",
        "req/s",
        "of bare",
        "(spread)",
        "nginx cpu",
        "(spread)",
        "p50 us",
        "p99 us",
        "tracer cpu",
        "MiB",
        "lost",
    ];
    let mut table = Table::new(format!("{name}: median of the rounds"), &columns);
    for (tracer, cell) in cells {
        let own = *tracer != Tracer::Nothing;
        table.row(vec![
            tracer.name().to_owned(),
            count(cell.rate.median()),
            format!("{:.3}", cell.ratio.median()),
            format!("{:.2}-{:.2}", cell.ratio.least(), cell.ratio.most()),
            format!("{:.3}", cell.cpu.median()),
            format!("{:.2}-{:.2}", cell.cpu.least(), cell.cpu.most()),
            count(cell.p50_us.median()),
            count(cell.p99_us.median()),
            if own { percent(cell.tracer_cpu.median()) } else { String::new() },
            if own { format!("{:.1}", cell.resident_kib.median() / 1024.0) } else { String::new() },
            if own { cell.lost.to_string() } else { String::new() },
        ]);
    }
    table
}

fn to_json(cells: &Cells) -> Value {
    let of = |(tracer, cell): (&Tracer, &Cell)| {
        json!({
            "tracer": tracer.name(),
            "requests_per_second": cell.rate.json(),
            "ratio": cell.ratio.json(),
            "nginx_cpu_ratio": cell.cpu.json(),
            "p50_us": cell.p50_us.json(),
            "p99_us": cell.p99_us.json(),
            "tracer_cpu": cell.tracer_cpu.json(),
            "tracer_resident_kib": cell.resident_kib.json(),
            "lost": cell.lost,
        })
    };
    cells.iter().map(of).collect()
}
