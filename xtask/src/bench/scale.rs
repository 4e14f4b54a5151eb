//! The same load while many connections are open, and with many workers.

use anyhow::Result;
use serde_json::{Value, json};

use super::load::Load;
use super::numbers::Spread;
use super::table::Table;
use super::tracer::Tracers;
use super::world::World;
use super::{Plan, count, hold, interrupted, percent};
use crate::say::say;

/// Workers, and connections that are open beside the load.
const STEPS: [(usize, usize); 6] = [(1, 1), (4, 1), (16, 1), (64, 1), (16, 1_000), (16, 100_000)];

/// More takes longer than a first impression may.
const QUICK: usize = 10_000;

/// Measures, prints, and returns the numbers.
pub(super) fn measure(plan: &Plan, tracers: &Tracers<'_>) -> Result<Value> {
    let columns =
        ["workers", "open connections", "req/s", "of bare", "nginx cpu", "tracer cpu", "MiB", "lost"];
    let mut table =
        Table::new("Scale: new connection per request, beside connections that stay open", &columns);
    let mut all = Vec::new();
    for (workers, open) in STEPS {
        let open = if plan.quick { open.min(QUICK) } else { open };
        interrupted()?;
        say("Scale", format!("{workers} workers, {open} connections"));
        let numbers = step(plan, tracers, workers, open)?;
        let number = |name: &str| numbers[name].as_f64().unwrap_or(f64::NAN);
        table.row(vec![
            workers.to_string(),
            count(open as f64),
            count(number("requests_per_second")),
            format!("{:.3}", number("ratio")),
            format!("{:.3}", number("nginx_cpu_ratio")),
            percent(number("tracer_cpu")),
            format!("{:.1}", number("tracer_resident_kib") / 1024.0),
            count(number("lost")),
        ]);
        all.push(numbers);
    }
    print!("{}", table.text());
    Ok(all.into())
}

fn step(plan: &Plan, tracers: &Tracers<'_>, workers: usize, open: usize) -> Result<Value> {
    let world = World::new(workers)?;
    let load = Load::full("/new", plan.seconds);
    // That they are not answered is the point: nobody wants to be told.
    let arguments = ["--slow", "1h", "--max-connections", "262144"];
    let _open = hold::open(&world, open)?;
    let (mut rate, mut ratio, mut cpu) = (Spread::default(), Spread::default(), Spread::default());
    let (mut own, mut memory, mut lost) = (Spread::default(), Spread::default(), 0);
    for _ in 0..plan.rounds.div_ceil(3) {
        interrupted()?;
        let before = load.run(&world)?;
        let session = tracers.tool(&world, world.proxy.master.pid(), &arguments)?;
        let sample = load.run(&world)?;
        let report = session.stop()?;
        let after = load.run(&world)?;
        rate.add(sample.rate);
        ratio.add(sample.rate / f64::midpoint(before.rate, after.rate));
        cpu.add(sample.cpu_us / f64::midpoint(before.cpu_us, after.cpu_us));
        own.add(report.cpu_ns as f64 / (plan.seconds as f64 * 1e9));
        memory.add(report.resident_kib as f64);
        lost += report.lost;
    }
    Ok(json!({
        "workers": workers,
        "open": open,
        "requests_per_second": rate.median(),
        "ratio": ratio.median(),
        "nginx_cpu_ratio": cpu.median(),
        "tracer_cpu": own.median(),
        "tracer_resident_kib": memory.median(),
        "lost": lost,
    }))
}
