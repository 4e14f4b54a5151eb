//! The same for programs: one object a line, each with a `type`.

use serde_json::{Value, json};
use upstream_trace_core::cause;
use upstream_trace_core::hooks::{AttachMethod, Need};

use super::{Findings, NginxFindings};
use crate::errorlog::LogOutput;
use crate::host::privileges::{Loss, Right};
use crate::kernel::probe::{Probed, Tried};

/// Version of the objects; fields are only ever added to it.
const SCHEMA: u32 = 1;

pub(super) fn lines(findings: &Findings) -> String {
    let lines = objects(findings).into_iter().map(|object| object.to_string() + "\n");
    lines.collect()
}

fn objects(findings: &Findings) -> Vec<Value> {
    let mut objects = vec![kernel(findings)];
    objects.extend(findings.rights.iter().map(|(right, held)| self::right(right, *held)));
    objects.extend(findings.hooks.iter().map(hook));
    let maps = &findings.maps;
    objects.extend(
        maps.iter()
            .map(|map| json!({"type": "map", "name": map.name, "entries": map.entries, "bytes": map.bytes})),
    );
    objects.extend(
        findings.programs.iter().map(|(name, path)| json!({"type": "program", "name": name, "path": path})),
    );
    objects.extend(findings.nginx.as_ref().map(nginx));
    objects.push(conclusion(findings));
    objects
}

fn kernel(findings: &Findings) -> Value {
    let system = &findings.system;
    json!({
        "type": "doctor",
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "kernel": system.kernel,
        "arch": std::env::consts::ARCH,
        "lockdown": system.lockdown,
        "btf": system.fields.is_some(),
        "missing_fields": system.fields.as_ref().map(|(_, missing)| missing),
        "symbols": system.symbols,
        "tried": findings.tried,
    })
}

fn right(right: &Right, held: bool) -> Value {
    let loss = if let Loss::Some(loss) = right.loss { Some(loss) } else { None };
    json!({
        "type": "right",
        "name": right.capability.to_string(),
        "held": held,
        "required": right.loss == Loss::Everything,
        "for": right.what,
        "loss": loss,
        "kept": right.stays,
    })
}

fn hook(probed: &Probed) -> Value {
    let hook = probed.hook;
    let methods = probed.methods.iter().map(|(rung, tried)| {
        let (works, why) = match tried {
            Tried::Works => (Some(true), None),
            Tried::Fails(why) => (Some(false), Some(why)),
            Tried::Untried(_) => (None, None),
        };
        let known = if let Tried::Untried(known) = tried { *known } else { None };
        let programs: Vec<_> = rung.probes.iter().map(|probe| probe.program).collect();
        json!({"kind": rung.kind(), "program": programs.join(" "), "works": works, "why": why, "known": known})
    });
    let chosen = probed.chosen();
    json!({
        "type": "hook",
        "name": hook.name,
        "kind": chosen.map(AttachMethod::kind),
        "works": chosen.is_some(),
        "required": hook.need == Need::Required,
        "rungs": methods.collect::<Vec<_>>(),
        "costs": hook.costs,
        "causes": cause::without(hook).map_or_else(|| json!("all"), |causes| json!(causes)),
    })
}

fn nginx(nginx: &NginxFindings) -> Value {
    let notes: Vec<_> = nginx
        .said
        .iter()
        .filter_map(|said| if let LogOutput::Note(note) = said { Some(note) } else { None })
        .collect();
    json!({
        "type": "nginx",
        "master": nginx.masters.first(),
        "masters": nginx.masters,
        "workers": nginx.workers,
        "version": nginx.version,
        "other_netns": nginx.elsewhere,
        "logs": nginx.logs,
        "notes": notes,
    })
}

fn conclusion(findings: &Findings) -> Value {
    let obstacles = findings.obstacles.iter();
    let obstacles: Vec<_> =
        obstacles.map(|obstacle| json!({"what": obstacle.what, "next": obstacle.next})).collect();
    json!({"type": "conclusion", "can_run": findings.can_run(), "obstacles": obstacles})
}
