//! The right side of a condition: values, ranges, prefixes, sets.

use std::net::IpAddr;

use super::super::packet::{Truth3, between, flag, within};
use super::About;
use super::field::Field;
use super::json::Json;

impl About<'_> {
    /// A `match` statement.
    pub(super) fn matches(&self, condition: &Json) -> Truth3 {
        let field = self.field(&condition["left"]);
        let (op, right) = (condition["op"].as_str().unwrap_or("=="), &condition["right"]);
        match (&field, op) {
            (Field::Absent, _) => Truth3::No,
            (Field::Unknown | Field::Flags(0, _), _) => Truth3::Maybe,
            (Field::Flags(set, _), "in" | "!") => {
                flags(right).map_or(Truth3::Maybe, |bits| ((set & bits != 0) == (op == "in")).into())
            }
            (_, "==" | "in") => self.is(&field, right),
            (Field::Device(super::super::packet::Device::None), _) => Truth3::Maybe,
            (_, "!=" | "!") => self.is(&field, right).not(),
            (Field::Number(number), "<" | ">" | "<=" | ">=") => compare(*number, op, right),
            _ => Truth3::Maybe,
        }
    }

    /// Whether a field has this value, or one of these.
    fn is(&self, field: &Field, value: &Json) -> Truth3 {
        let elements = match value {
            Json::String(name) if name.starts_with('@') => self.set(name),
            Json::Object(object) => object.get("set"),
            _ => return item(field, value),
        };
        match (elements.and_then(Json::as_array), value) {
            (Some(elements), _) if self.affords(elements) => any(field, elements),
            (None, Json::Object(_)) => item(field, value),
            _ => Truth3::Maybe,
        }
    }

    /// Elements of a named set or map.
    pub(super) fn set(&self, name: &str) -> Option<&Json> {
        let (family, table) = (self.chain.family.clone(), self.chain.table.clone());
        self.ruleset.sets.get(&(family, table, name.strip_prefix('@')?.to_owned()))
    }
}

/// Whether a field has this value, or one of these. Names of sets mean nothing here: the name of a device may look like
/// one, so that a set could seem to hold itself.
pub(super) fn item(field: &Field, value: &Json) -> Truth3 {
    match value {
        Json::String(name) if &**name == "*" && !matches!(field, Field::Device(_)) => Truth3::Yes,
        Json::Array(several) => any(field, several),
        Json::Object(object) => match object.first() {
            Some(("set", inner)) => item(field, inner),
            Some(("elem", element)) => item(field, &element["val"]),
            Some(("concat", Json::Array(parts))) => all(field, parts),
            Some(("range", ends)) => range(field, &ends[0], &ends[1]),
            Some(("prefix", prefix)) => in_prefix(field, prefix),
            _ => scalar(field, value),
        },
        _ => scalar(field, value),
    }
}

fn any(field: &Field, values: &[Json]) -> Truth3 {
    Truth3::any(values.iter().map(|value| item(field, value)))
}

fn all(field: &Field, parts: &[Json]) -> Truth3 {
    match field {
        Field::Several(fields) if fields.len() == parts.len() => {
            fields.iter().zip(parts).fold(Truth3::Yes, |held, (field, part)| held.and(item(field, part)))
        }
        _ => Truth3::Maybe,
    }
}

fn scalar(field: &Field, value: &Json) -> Truth3 {
    let known = match (field, value) {
        (Field::Absent, _) => Some(false),
        (Field::Address(ip), Json::String(text)) => text.parse().ok().map(|other: IpAddr| *ip == other),
        (Field::Number(number), Json::Number(other)) => Some(number == other),
        (Field::Name(names), Json::String(text)) => Some(names.contains(&&**text)),
        (Field::Name(names), Json::Number(number)) => Some(names.contains(&number.to_string().as_str())),
        (Field::State(Some(state)), Json::String(text)) => Some(*state == &**text),
        (Field::Device(device), Json::String(name)) => return device.is(name, '*'),
        (Field::Flags(set, mask), value) if *set != 0 => flags(value).map(|bits| set & mask == bits),
        _ => None,
    };
    known.map_or(Truth3::Maybe, Truth3::from)
}

fn range(field: &Field, low: &Json, high: &Json) -> Truth3 {
    let ip = |value: &Json| value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let known = match field {
        Field::Absent => Some(false),
        Field::Address(address) => ip(low).zip(ip(high)).map(|(low, high)| between(*address, low, high)),
        Field::Number(number) => {
            low.as_u64().zip(high.as_u64()).map(|(low, high)| (low..=high).contains(number))
        }
        _ => None,
    };
    known.map_or(Truth3::Maybe, Truth3::from)
}

fn in_prefix(field: &Field, prefix: &Json) -> Truth3 {
    let address = prefix["addr"].as_str().and_then(|text| text.parse().ok());
    let len = prefix["len"].as_u64().and_then(|len| u32::try_from(len).ok());
    match (field, address.zip(len)) {
        (Field::Absent, _) => Truth3::No,
        (Field::Address(ip), Some((address, len))) => within(*ip, address, len).into(),
        _ => Truth3::Maybe,
    }
}

fn compare(number: u64, op: &str, right: &Json) -> Truth3 {
    let Some(other) = right.as_u64() else { return Truth3::Maybe };
    Truth3::from(match op {
        "<" => number < other,
        ">" => number > other,
        "<=" => number <= other,
        _ => number >= other,
    })
}

/// TCP flags: a name, a number, or several.
pub(super) fn flags(value: &Json) -> Option<u8> {
    match value {
        Json::String(name) => flag(name),
        Json::Number(bits) => u8::try_from(*bits).ok(),
        Json::Array(all) => all.iter().try_fold(0, |bits, value| Some(bits | flags(value)?)),
        Json::Object(object) => object.get("|").and_then(flags),
        Json::Null => None,
    }
}
