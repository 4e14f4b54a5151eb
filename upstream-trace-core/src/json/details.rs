//! What is not there for each attempt, in `failure` and `pending`.

use serde_json::{Map, Value, json};

use super::{Clock, Numbers, milliseconds, text};
use crate::verdict::{Connection, Details, Ejection, Tries, TryEnd};

/// Fields that are there only if there is something to say.
pub(super) fn fields(details: &Details, clock: &Clock, numbers: &mut Numbers) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    match details.names.as_slice() {
        [] => {}
        [one] => {
            put("group", one.group.as_str().into());
            if !one.server.is_empty() {
                put("peer", one.server.as_str().into());
            }
        }
        several => put("groups", json!(several)),
    }
    if !details.passes.is_empty() {
        put("passes", json!(details.passes));
    }
    if !details.directives.is_empty() {
        put("directives", json!(details.directives));
    }
    if let Some(connection) = &details.connection {
        for (name, value) in of_connection(connection) {
            put(name, value);
        }
    }
    if let Some(tries) = &details.tries {
        put("tries", of_tries(tries, numbers));
    }
    if !details.ejected.is_empty() {
        put("ejected", details.ejected.iter().map(|ejection| of_ejection(ejection, clock)).collect());
    }
    fields
}

fn of_connection(connection: &Connection) -> impl Iterator<Item = (&'static str, Value)> {
    let fields = [
        ("connection_age_ms", connection.age.map(milliseconds)),
        ("requests", connection.requests.map(Value::from)),
        ("idle_ms", connection.idle.map(milliseconds)),
        ("origin_idle_ms", connection.origin_idle.map(milliseconds)),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

fn of_tries(tries: &Tries, numbers: &mut Numbers) -> Value {
    let chain: Vec<_> = tries
        .chain
        .iter()
        .map(|one| {
            let mut object =
                json!({"attempt": numbers.of(one.attempt), "upstream": text(one.upstream.as_ref())});
            match one.end {
                TryEnd::Unknown => {}
                TryEnd::Failed(cause) => object["cause"] = cause.into(),
                TryEnd::Answered => object["answered"] = true.into(),
            }
            object
        })
        .collect();
    json!({"number": tries.this + 1, "of": tries.chain.len(), "chain": chain})
}

fn of_ejection(ejection: &Ejection, clock: &Clock) -> Value {
    json!({
        "upstream": text(ejection.upstream.as_ref()),
        "cause": ejection.cause,
        "count": ejection.count,
        "last": clock.iso(ejection.last),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Upstream;
    use crate::testkit::remote;
    use crate::verdict::{Directive, Name, Try};

    #[test]
    fn nothing_known_adds_nothing() {
        assert!(fields(&Details::default(), &Clock::default(), &mut Numbers::default()).is_empty());
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
                    one(crate::testkit::id(1), TryEnd::Failed("port-refused")),
                    one(crate::testkit::id(2), TryEnd::Answered),
                ],
                this: 0,
            }),
            ejected: vec![Ejection { upstream: None, cause: "port-refused", count: 2, last: 0 }],
            ..Details::default()
        };
        let found = Value::Object(fields(&details, &Clock::default(), &mut Numbers::default()));
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
        let found = Value::Object(fields(&details, &Clock::default(), &mut Numbers::default()));
        assert!(found.get("group").is_none() && found["groups"][1]["group"] == "b");
    }
}
