//! JSON as rules and sets need it, in little memory: a host may have 25,000 rules, and a tree of `serde_json` takes forty
//! times the text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Index;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value. Numbers that are no unsigned integers, and booleans, are [`Json::Null`]: no condition here needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::firewall) enum Json {
    Null,
    Number(u64),
    String(Cow<'static, str>),
    Array(Box<[Json]>),
    Object(Object),
}

/// Words that most rules are made of; they are not kept again for each.
const WORDS: [&str; 40] = [
    "match",
    "op",
    "left",
    "right",
    "payload",
    "protocol",
    "field",
    "counter",
    "accept",
    "drop",
    "reject",
    "return",
    "jump",
    "goto",
    "target",
    "meta",
    "key",
    "ct",
    "state",
    "set",
    "elem",
    "val",
    "prefix",
    "addr",
    "len",
    "range",
    "concat",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "saddr",
    "daddr",
    "sport",
    "dport",
    "==",
    "!=",
    "in",
    "new",
    "established",
];

fn word(text: &str) -> Cow<'static, str> {
    match WORDS.iter().find(|word| **word == text) {
        Some(word) => Cow::Borrowed(word),
        None => Cow::Owned(text.to_owned()),
    }
}

/// The members of an object in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::firewall) struct Object(Box<[(Cow<'static, str>, Json)]>);

impl Object {
    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
    }

    /// Its first member: most objects have only one, whose name says what it is.
    pub(super) fn first(&self) -> Option<(&str, &Json)> {
        self.0.first().map(|(key, value)| (&**key, value))
    }
}

impl Json {
    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub(super) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(all) = self { Some(all) } else { None }
    }

    pub(super) fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }
}

static NULL: Json = Json::Null;

impl Index<&str> for Json {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&NULL)
    }
}

impl Index<usize> for Json {
    type Output = Self;

    fn index(&self, index: usize) -> &Self {
        self.as_array().and_then(|all| all.get(index)).unwrap_or(&NULL)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(word(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = all.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Json, A::Error> {
        let mut members = Vec::with_capacity(1);
        while let Some(Name(name)) = all.next_key()? {
            // Counts are of no use, and change all the time.
            let value = if &*name == "counter" {
                all.next_value::<IgnoredAny>()?;
                Json::Null
            } else {
                all.next_value()?
            };
            members.push((name, value));
        }
        Ok(Json::Object(Object(members.into())))
    }
}

/// The name of a member.
struct Name(Cow<'static, str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfName;
        impl Visitor<'_> for OfName {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(Name(word(text)))
            }
        }
        deserializer.deserialize_str(OfName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let json: Json = serde_json::from_str(
            r#"{"a":[1,"x",{"b":null}],"counter":{"packets":1},"n":-1,"f":1.5,"t":true}"#,
        )
        .unwrap();
        assert_eq!((json["a"][0].as_u64(), json["a"][1].as_str()), (Some(1), Some("x")));
        assert_eq!(json.as_object().unwrap().first().unwrap().0, "a");
        for nothing in
            [&json["a"][2]["b"], &json["counter"], &json["n"], &json["f"], &json["t"], &json["z"][3]]
        {
            assert_eq!(*nothing, Json::Null);
        }
        assert!(serde_json::from_str::<Json>("{").is_err());
        assert!(serde_json::from_str::<Json>(&"[".repeat(100_000)).is_err(), "depth is bounded");
    }
}
