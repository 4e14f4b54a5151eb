//! Context that `error_log_tag` appends to lines: `, name: value`, behind what nginx itself writes.
//!
//! A client's `Referer` may stand before them and may look like one: a name that comes with two values is left out.

use std::collections::BTreeMap;

/// Longest name, bytes.
const LONGEST_NAME: usize = 64;

/// Tags of one line, at most.
const MOST: usize = 32;

/// What nginx itself writes there.
const OWN: [&str; 10] = [
    "client",
    "server",
    "request",
    "request_line",
    "subrequest",
    "upstream",
    "host",
    "referrer",
    "login",
    "resolver",
];

/// The tags in what follows on the last part of nginx's own.
pub(super) fn tags(text: &str) -> BTreeMap<String, String> {
    let begins: Vec<usize> = starts(text).collect();
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    let mut found: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for (begin, end) in begins.iter().zip(ends).take(MOST) {
        let Some((name, value)) = text[*begin + 2..end].split_once(": ") else { continue };
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        if OWN.contains(&name) {
            continue;
        }
        found
            .entry(name)
            .and_modify(|known| *known = known.filter(|known| *known == value))
            .or_insert(Some(value));
    }
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

/// Where a `, name: ` begins.
pub(super) fn starts(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(", ").map(|(at, _)| at).filter(|at| is_start(&text[*at..]))
}

/// It begins with `, name: `.
pub(super) fn is_start(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(", ") else { return false };
    let end = rest
        .bytes()
        .take(LONGEST_NAME + 1)
        .position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    end.is_some_and(|end| end > 0 && rest[end..].starts_with(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        tags(text).into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn tags_quoted_and_plain() {
        assert_eq!(
            read(r#", referrer: "http://a/", request_id: "5f3a", zone: eu, 1"#),
            [pair("request_id", "5f3a"), pair("zone", "eu, 1")]
        );
        assert!(
            read("").is_empty() && read(", ").is_empty() && read(", bytes from/to client:0/0").is_empty()
        );
    }

    #[test]
    fn a_name_with_two_values_is_left_out() {
        assert_eq!(read(r#", referrer: "x", id: "evil", a: b", id: "5", a: b""#), [pair("a", "b\"")]);
    }
}
