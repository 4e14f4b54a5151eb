//! From the start of the tool until it is attached.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

use super::numbers::Spread;
use super::table::Table;
use super::tracer::{Tracer, Tracers};
use super::world::World;
use super::{Plan, interrupted};
use crate::say::say;

/// Measures, prints, and returns the numbers.
pub(super) fn measure(plan: &Plan, tracers: &Tracers<'_>) -> Result<Value> {
    let world = World::new(2)?;
    let mut attached = Spread::default();
    let mut cpu = Spread::default();
    let mut memory = Spread::default();
    say("Start", "of the tool, until it is attached");
    for _ in 0..plan.rounds.max(3) * 2 {
        interrupted()?;
        let begin = Instant::now();
        let session = tracers.start(Tracer::Tool, &world)?;
        attached.add(begin.elapsed().as_secs_f64() * 1e3);
        let report = session.stop()?;
        cpu.add(report.startup_cpu_ns as f64 / 1e6);
        memory.add(report.resident_kib as f64 / 1024.0);
    }
    let mut table = Table::new("From start to attached", &["", "median", "least", "most"]);
    for (name, spread) in [
        ("milliseconds", &attached),
        ("of these on a processor, first thread", &cpu),
        ("MiB resident, idle", &memory),
    ] {
        let cells = [spread.median(), spread.least(), spread.most()].map(|value| format!("{value:.1}"));
        table.row([vec![name.to_owned()], cells.to_vec()].concat());
    }
    print!("{}", table.text());
    Ok(json!({ "attached_ms": attached.json(), "processor_ms": cpu.json(), "resident_mib": memory.json() }))
}
