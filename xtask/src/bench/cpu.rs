//! Processor time of nginx per request beside the same without a tracer: what a host pays. Many short rounds; in each,
//! every tracer runs once between two bare runs, which are compared with each other as well.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::load::{Load, Sample};
use super::numbers::Spread;
use super::table::Table;
use super::throughput::WORKLOADS;
use super::tracer::{Tracer, Tracers};
use super::world::World;
use super::{Plan, count, interrupted, percent};
use crate::say::say;

/// Milliseconds between two requests of a client that paces itself.
const PAUSE_MS: u32 = 10;

/// Who is compared with bare runs. The first is a bare run itself: what it differs from 1 is noise.
const WATCHERS: [Tracer; 9] = [
    Tracer::Nothing,
    Tracer::Tool,
    Tracer::Settled,
    Tracer::Watch,
    Tracer::Deep,
    Tracer::Recording,
    Tracer::Collected,
    Tracer::SettledCollected,
    Tracer::Floor,
];

/// Of these, those that watch as a tool does that is left on, and what they are held against.
const LEFT_ON: [Tracer; 4] = [Tracer::Nothing, Tracer::Settled, Tracer::SettledCollected, Tracer::Floor];

/// One tracer under one load.
#[derive(Debug, Default)]
struct Cell {
    /// Processor time per request as a multiple of that of the bare runs of the round.
    ratio: Spread,
    cpu_us: Spread,
    tracer_cpu: Spread,
    /// For how long it watched sends and receives, of all of its run, milliseconds.
    deep_ms: Spread,
    lost: u64,
}

type Cells = BTreeMap<Tracer, Cell>;

/// One workload, as much as goes or half of that.
struct Course {
    name: String,
    load: Load,
    cells: Cells,
}

/// Measures, prints, and returns the numbers.
pub(super) fn measure(plan: &Plan, tracers: &Tracers<'_>) -> Result<Value> {
    let world = World::new(1)?;
    let mut courses = Vec::new();
    for (name, path) in WORKLOADS {
        let full = Load::full(path, 1);
        let rate = full.run(&world)?.rate;
        let paced = Load { clients: paced_clients(rate), pause_ms: PAUSE_MS, ..full };
        let loads = [("saturated", full), ("half of that", paced)];
        for (how, load) in loads.into_iter().take(if plan.left_on { 1 } else { 2 }) {
            courses.push(Course { name: format!("{name}, {how}"), load, cells: Cells::new() });
        }
    }
    let watchers: &[Tracer] = if plan.left_on { &LEFT_ON } else { &WATCHERS };
    for round in 0..plan.short_rounds {
        say("Round", format!("{} of {}", round + 1, plan.short_rounds));
        for course in &mut courses {
            run_round(watchers, tracers, &world, round, course)?;
        }
    }
    for course in &courses {
        print!("{}", table(course).text());
    }
    println!(
        "  (processor time of nginx's worker per request, as a multiple of the bare runs of the same round)"
    );
    Ok(courses
        .iter()
        .map(|course| json!({ "workload": course.name, "tracers": to_json(&course.cells) }))
        .collect())
}

/// Clients that make half as many requests as `rate` if each pauses before every request.
fn paced_clients(rate: f64) -> u32 {
    const MOST: u32 = 1000;
    let makes = |clients: u32| f64::from(clients) * 1000.0 / f64::from(PAUSE_MS);
    (1..MOST).find(|clients| makes(*clients) >= rate / 2.0).unwrap_or(MOST)
}

fn run_round(
    watchers: &[Tracer],
    tracers: &Tracers<'_>,
    world: &World,
    round: usize,
    course: &mut Course,
) -> Result<()> {
    let mut watchers = watchers.to_vec();
    // Whoever comes first has the warmer caches, or the colder ones: not always the same.
    let first = round % watchers.len();
    watchers.rotate_left(first);
    let before = course.load.run(world)?;
    let mut samples = Vec::new();
    for tracer in watchers {
        interrupted()?;
        let session = tracers.start(tracer, world)?;
        let sample = course.load.run(world)?;
        let report = session.stop()?;
        let cell = course.cells.entry(tracer).or_default();
        cell.tracer_cpu.add(report.cpu_ns as f64 / (course.load.seconds as f64 * 1e9));
        cell.deep_ms.add(report.summary["deep_ms"].as_f64().unwrap_or_default());
        cell.lost += report.lost;
        samples.push((tracer, sample));
    }
    let bare = f64::midpoint(before.cpu_us, course.load.run(world)?.cpu_us);
    for (tracer, Sample { cpu_us, .. }) in samples {
        let cell = course.cells.entry(tracer).or_default();
        cell.ratio.add(cpu_us / bare);
        cell.cpu_us.add(cpu_us);
    }
    Ok(())
}

fn table(course: &Course) -> Table {
    let columns = ["watched by", "nginx cpu", "(95 % interval)", "us/request", "tracer cpu", "lost"];
    let mut table = Table::new(course.name.clone(), &columns);
    for (tracer, cell) in &course.cells {
        let own = *tracer != Tracer::Nothing;
        let (low, high) = cell.ratio.interval();
        table.row(vec![
            if own { tracer.name() } else { "nothing, once more" }.to_owned(),
            format!("{:.3}", cell.ratio.median()),
            format!("{low:.3}-{high:.3}"),
            count(cell.cpu_us.median()),
            if own { percent(cell.tracer_cpu.median()) } else { String::new() },
            if own { cell.lost.to_string() } else { String::new() },
        ]);
    }
    table
}

fn to_json(cells: &Cells) -> Value {
    let of = |(tracer, cell): (&Tracer, &Cell)| {
        let (low, high) = cell.ratio.interval();
        json!({
            "tracer": tracer.name(),
            "nginx_cpu_ratio": cell.ratio.json(),
            "interval": [low, high],
            "cpu_us": cell.cpu_us.json(),
            "tracer_cpu": cell.tracer_cpu.json(),
            "deep_ms": cell.deep_ms.json(),
            "lost": cell.lost,
        })
    };
    cells.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_for_half_the_load() {
        assert_eq!([14_000.0, 50_000.0, 0.0].map(paced_clients), [70, 250, 1]);
    }

    #[test]
    fn bare_runs_are_compared_with_each_other() {
        assert!(WATCHERS.contains(&Tracer::Nothing));
        assert!(LEFT_ON.contains(&Tracer::Nothing));
    }
}
