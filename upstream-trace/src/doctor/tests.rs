use serde_json::Value;

use super::look::{has_btf, look};
use super::{Findings, Obstacle, json, text};
use crate::kernel::hook_filter::HookFilter;
use crate::kernel::probe::{Probed, Tried};
use crate::nginx::Target;
use upstream_trace_core::hooks::HOOKS;
use upstream_trace_read::output::layout::TextLayout;

const PAGE: TextLayout = TextLayout { width: 80, colour: false };

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn without(name: &str) -> Findings {
    let hooks = HOOKS.iter().map(|hook| {
        let tried = |_| if hook.name == name { Tried::Fails("no such thing".into()) } else { Tried::Works };
        Probed { hook, methods: hook.methods.iter().map(|rung| (rung, tried(rung))).collect() }
    });
    Findings { hooks: hooks.collect(), tried: true, ..Findings::default() }
}

#[test]
fn what_is_lost_without_a_hook_is_named_with_the_causes_it_touches() {
    let text = words(&text::page(PAGE, &without("kfree_skb")));
    assert!(text.contains(&format!("Hooks: {} of {} work", HOOKS.len() - 1, HOOKS.len())), "{text}");
    assert!(text.contains("without kfree_skb raw_tracepoint: no such thing"), "{text}");
    for part in ["lost: packets dropped on this host", "less sure: ", "firewall-drop-local"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn every_line_fits() {
    for hook in HOOKS {
        for line in text::page(PAGE, &without(hook.name)).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn every_object_has_a_type_and_the_last_one_concludes() {
    let mut findings = without("tcp_receive_reset");
    findings.obstacles.push(Obstacle { what: "a wall".into(), next: Some("climb".into()) });
    let text = json::lines(&findings);
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(objects.iter().all(|object| object["type"].is_string()));
    let reset = objects.iter().find(|object| object["name"] == "tcp_receive_reset").expect("the hook");
    assert_eq!(reset["works"], false);
    assert!(
        reset["causes"].as_array().is_some_and(|causes| causes.contains(&"port-refused".into())),
        "{reset}"
    );
    let last = objects.last().expect("objects");
    assert_eq!((&last["type"], &last["can_run"]), (&"conclusion".into(), &false.into()));
    assert_eq!(last["obstacles"][0]["next"], "climb");
}

#[test]
fn without_an_nginx_a_trace_cannot_run() {
    let findings = look(&[Target::Name("no-such-nginx".into())], &HookFilter::default());
    assert!(findings.obstacles.iter().any(|obstacle| obstacle.what.contains("no-such-nginx")));
    assert_eq!(findings.hooks.len(), HOOKS.len());
    assert_eq!(findings.system.fields.is_some(), has_btf());
    assert!(text::page(PAGE, &findings).contains("Not ready:"));
}
