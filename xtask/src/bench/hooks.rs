//! What a run of each hook costs, by the kernel's own statistics.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::load::Load;
use super::table::Table;
use super::throughput::WORKLOADS;
use super::tracer::Tracers;
use super::world::World;
use super::{Plan, count, interrupted};
use crate::say::say;

/// Runs and their mean in nanoseconds, by hook.
type Costs = BTreeMap<String, (u64, f64)>;

/// Measures, prints, and returns the numbers.
pub(super) fn measure(plan: &Plan, tracers: &Tracers<'_>) -> Result<Value> {
    let (world, idle) = (World::new(2)?, World::new(1)?);
    let mut all = Vec::new();
    for (name, path) in WORKLOADS {
        interrupted()?;
        say("Hooks", name);
        let load = Load::full(path, plan.seconds.max(2));
        for depth in ["watch", "deep"] {
            // The same traffic: once it is another nginx's, once it is the watched one's.
            let (_, others) = costs(tracers, &world, idle.proxy.master.pid(), depth, load)?;
            let (requests, ours) = costs(tracers, &world, world.proxy.master.pid(), depth, load)?;
            print!("{}", table(&format!("{name}, {depth}"), requests, &others, &ours).text());
            let hooks = to_json(&others, &ours);
            all.push(json!({ "workload": name, "depth": depth, "requests": requests, "hooks": hooks }));
        }
    }
    println!("  (with the kernel's statistics, which add 65 to 75 ns to each run of their own)");
    Ok(all.into())
}

fn costs(tracers: &Tracers<'_>, world: &World, nginx: u32, depth: &str, load: Load) -> Result<(u64, Costs)> {
    let session = tracers.tool(world, nginx, &["--verbose", "--depth", depth])?;
    let sample = load.run(world)?;
    let report = session.stop()?;
    let mut costs = Costs::new();
    for hook in report.summary["overhead"].as_array().into_iter().flatten() {
        let name = hook["name"].as_str().unwrap_or_default().to_owned();
        costs.insert(name, (hook["runs"].as_u64().unwrap_or(0), hook["mean_ns"].as_f64().unwrap_or(0.0)));
    }
    Ok((sample.requests, costs))
}

fn table(name: &str, requests: u64, others: &Costs, ours: &Costs) -> Table {
    let columns = ["hook", "runs/request", "ns, another nginx's", "ns, this nginx's and its origin's"];
    let mut table = Table::new(format!("Cost per hook, {name}"), &columns);
    for (hook, (runs, mean)) in ours {
        let other = others.get(hook).map_or_else(|| "-".to_owned(), |(_, mean)| count(*mean));
        table.row(vec![
            hook.clone(),
            format!("{:.2}", *runs as f64 / requests.max(1) as f64),
            other,
            count(*mean),
        ]);
    }
    table
}

fn to_json(others: &Costs, ours: &Costs) -> Value {
    let of = |(hook, (runs, mean)): (&String, &(u64, f64))| {
        let other = others.get(hook).map(|(_, mean)| *mean);
        json!({ "hook": hook, "runs": runs, "mean_ns": mean, "mean_ns_of_others": other })
    };
    ours.iter().map(of).collect()
}
