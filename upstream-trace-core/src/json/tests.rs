use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::Engine;
use crate::event::{AttemptId, Event};
use crate::testkit::{line, refused, remote};
use crate::verdict::{
    Connection, Details, Directive, Ejection, Evidence, Name, Output, Tries, Try, TryEnd, Verdict,
};

fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("JSON")
}

fn verdict() -> Verdict {
    let mut engine = Engine::new();
    engine.on(Event::End(refused()));
    let Some(Output::Failure(verdict)) = engine.finish().pop() else { panic!("no failure") };
    verdict
}

fn value_of(details: Details) -> Value {
    value(&failure(&Verdict { details, ..verdict() }, Scope::default(), &mut Numbers::default()))
}

#[test]
fn a_failure_has_the_fields_of_the_contract() {
    let mut engine = Engine::new();
    engine.on(Event::End(refused()));
    let Some(Output::Failure(verdict)) = engine.finish().pop() else { panic!("no failure") };
    let host = Host { at: verdict.at, ..Host::default() };
    let scope = Scope { clock: Clock::new(&host), host: None };
    let mut numbers = Numbers::default();
    let object = value(&failure(&verdict, scope, &mut numbers));
    for (field, value) in [
        ("type", json!("failure")),
        ("attempt", json!(1)),
        ("time", json!("1970-01-01T00:00:00.000000Z")),
        ("upstream", json!("10.0.0.2:8080")),
        ("transport", json!("tcp")),
        ("local", json!("10.0.0.1:41234")),
        ("phase", json!("connect")),
        ("cause", json!("port-refused")),
        ("reason", json!(2)),
        ("category", json!("service-down")),
        ("confidence", json!("likely")),
        ("alternatives", json!(["firewall-reject-remote"])),
        ("errno", json!(111)),
        ("status", json!(502)),
        ("recovered", json!(false)),
        ("reused", json!(false)),
        ("duration_ms", json!(0.5)),
    ] {
        assert_eq!(object[field], value, "{field}");
    }
    assert_eq!(object["evidence"][0], json!({"at_ms": 0.0, "what": "syn-sent"}));
    assert!(
        object["since_ms"].is_null() && value(&pending(&verdict, scope, &mut numbers))["since_ms"] == 0.5
    );
    let summary = value(&summary(&engine.summary(0), scope));
    assert_eq!(summary["by_cause"][0]["upstream"], "10.0.0.2:8080");
    assert_eq!(summary["upstreams"][0]["connect_ms"], Value::Null);
}

#[test]
fn nothing_known_adds_nothing() {
    assert!(value_of(Details::default()).get("tries").is_none());
}

#[test]
fn everything_has_its_field() {
    let name = |group: &str| Name { group: group.to_owned(), server: "app:80 backup".to_owned() };
    let one = |attempt, end| Try { attempt, upstream: Some(Upstream::Tcp(remote())), end };
    let mut details = Details {
        names: vec![name("a")],
        directives: vec![Directive {
            name: "proxy_read_timeout".to_owned(),
            value: "60s".to_owned(),
            default: true,
            places: vec!["server x, location /".to_owned()],
        }],
        connection: Some(Connection {
            age: Some(5_000_000),
            requests: Some(3),
            idle: Some(1_500_000),
            origin_idle: None,
        }),
        tries: Some(Tries {
            chain: vec![
                one(AttemptId::from_kernel(1), TryEnd::Failed("port-refused")),
                one(AttemptId::from_kernel(2), TryEnd::Answered),
            ],
            this: 0,
        }),
        ejected: vec![Ejection { upstream: None, cause: "port-refused", count: 2, last: 0 }],
        ..Details::default()
    };
    let found = value_of(details.clone());
    assert_eq!((&found["group"], &found["peer"]), (&json!("a"), &json!("app:80 backup")));
    assert_eq!(found["directives"][0]["default"], true);
    assert_eq!(
        (&found["connection_age_ms"], &found["requests"], &found["idle_ms"]),
        (&json!(5.0), &json!(3), &json!(1.5))
    );
    assert!(found.get("origin_idle_ms").is_none() && found.get("groups").is_none());
    assert_eq!((&found["tries"]["number"], &found["tries"]["of"]), (&json!(1), &json!(2)));
    assert_eq!(found["tries"]["chain"][0]["cause"], "port-refused");
    assert_eq!(found["tries"]["chain"][1]["attempt"], 2);
    assert_eq!(found["tries"]["chain"][1]["answered"], true);
    assert_eq!(found["ejected"][0]["last"], "1970-01-01T00:00:00.000000Z");
    details.names.push(name("b"));
    let found = value_of(details.clone());
    assert!(found.get("group").is_none() && found["groups"][1]["group"] == "b");
}

/// As they always did: what compares lines need not take JSON apart.
#[test]
fn a_pending_attempt_keeps_its_number() {
    let mut numbers = Numbers::default();
    let number = |object: Value| object["attempt"].clone();
    let told = number(value(&pending(&verdict(), Scope::default(), &mut numbers)));
    for other in 0..100_000 {
        numbers.of_ended(AttemptId::log_line(other));
    }
    assert_eq!(number(value(&failure(&verdict(), Scope::default(), &mut numbers))), told);
}

#[test]
fn fields_stand_in_the_order_of_their_names() {
    let mut verdict = Verdict { log: Some(line("x failed")), ..verdict() };
    verdict.evidence.push(Evidence {
        at_ms: 1.0,
        what: "x".to_owned(),
        details: ["zone", "alert", "errno"].into_iter().map(|name| (name.to_owned(), json!(1))).collect(),
    });
    let scope = Scope { host: Some("web1"), ..Scope::default() };
    let mut to = Vec::new();
    write(&mut to, &failure(&verdict, scope, &mut Numbers::default())).expect("written");
    let text = String::from_utf8(to).expect("text");
    let sorted: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(text, format!("{sorted}\n"));
}
