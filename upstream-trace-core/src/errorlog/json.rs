//! Lines in JSON: `error_log FILE LEVEL json` of NGINX Plus, and of what is built on it.
//!
//! What clients send is escaped in them. Of a name that comes twice, as a tag may, the first value counts: nginx writes
//! its own names first.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::event::LogLine;

use super::text::{LONGEST, clean};

/// Longest line in JSON, bytes: the same words, all of them escaped.
const LONGEST_JSON: usize = 8 * LONGEST;

/// Members of one object, at most.
const MOST: usize = 64;

/// What tells a line in JSON from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonHead {
    /// `error`, `crit` ...
    pub level: String,
    /// Process id as printed.
    pub pid: u32,
}

/// Reads level and process of a line in JSON; `None` if it is none of nginx's error.log.
#[must_use]
pub fn json_head(line: &[u8]) -> Option<JsonHead> {
    let members = members(line)?;
    time(members.text("timestamp")?)?;
    members.text("msg")?;
    Some(JsonHead { level: clean(members.text("level")?.as_bytes()), pid: members.number("pid")? })
}

/// Takes a line in JSON apart.
pub(super) fn parse(line: &[u8]) -> Option<LogLine> {
    let members = members(line)?;
    let own = |name: &str| members.text(name).map(|text| clean(text.as_bytes()));
    let action = own("action").or_else(|| own("while"));
    let errno = members.number("errno");
    Some(LogLine {
        pid: members.number("pid")?,
        time: time(members.text("timestamp")?)?,
        level: own("level")?,
        connection: members.number("cnum"),
        message: message(own("msg")?, errno, own("errtext"), action.as_deref()),
        errno,
        client: own("client"),
        server: own("server"),
        request: own("request"),
        subrequest: own("subrequest"),
        upstream: own("upstream"),
        host: own("host"),
        resolver: own("resolver"),
        tags: members.tags(),
        truncated: members.is_truncated(),
        ..LogLine::default()
    })
    .map(|mut line| {
        let said = super::parse::action(&line.message).or_else(|| meant(&line.message));
        line.action = action.or_else(|| said.map(str::to_owned));
        line
    })
}

/// What nginx was doing where the words leave no choice.
fn meant(message: &str) -> Option<&'static str> {
    message.starts_with("connect() ").then_some("connecting to upstream")
}

/// In the words and the order of a plain line.
fn message(mut text: String, errno: Option<i32>, error: Option<String>, action: Option<&str>) -> String {
    let said = super::parse::action(&text).map(str::to_owned);
    if let Some(errno) = errno.filter(|errno| !text.contains(&format!("({errno}: "))) {
        let words = said.as_ref().map_or(text.len(), |said| text.len() - said.len() - " while ".len());
        let error = error.map_or(String::new(), |error| error);
        text.insert_str(words, &format!(" ({errno}: {error})"));
    }
    if let (None, Some(action)) = (said, action) {
        text.push_str(" while ");
        text.push_str(action);
    }
    text
}

/// `2026-05-04T10:30:15.042+00:00` as plain lines have it, `2026/05/04 10:30:15`.
fn time(text: &str) -> Option<String> {
    let (date, clock) = text.get(..19)?.split_once('T')?;
    text.parse::<jiff::Timestamp>().ok()?;
    Some(format!("{} {clock}", date.replace('-', "/")))
}

/// Names that are nginx's own; all others are tags.
const OWN: [&str; 19] = [
    "level",
    "timestamp",
    "pid",
    "tid",
    "cnum",
    "msg",
    "client",
    "server",
    "request",
    "subrequest",
    "upstream",
    "host",
    "referrer",
    "login",
    "resolver",
    "errno",
    "errtext",
    "truncated",
    "action",
];

/// Members of an object, the first of each name.
#[derive(Default)]
struct Members<'a>(BTreeMap<Cow<'a, str>, Value>);

impl Members<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn number<T: TryFrom<u64>>(&self, name: &str) -> Option<T> {
        T::try_from(self.0.get(name)?.as_u64()?).ok()
    }

    fn is_truncated(&self) -> bool {
        self.0.get("truncated").is_some_and(|value| value.as_bool().unwrap_or(value.as_u64() == Some(1)))
    }

    fn tags(&self) -> BTreeMap<String, String> {
        let others = self.0.iter().filter(|(name, _)| !OWN.contains(&&***name));
        let texts = others.filter_map(|(name, value)| Some((name, value.as_str()?)));
        texts.map(|(name, text)| (clean(name.as_bytes()), clean(text.as_bytes()))).collect()
    }
}

fn members(line: &[u8]) -> Option<Members<'_>> {
    let line = line.trim_ascii_end();
    if !line.starts_with(b"{") || line.len() > LONGEST_JSON {
        return None;
    }
    serde_json::from_slice(line).ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(First)
    }
}

struct First;

impl<'de> Visitor<'de> for First {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if members.len() >= MOST || members.contains_key(&name.0) {
                map.next_value::<IgnoredAny>()?;
            } else {
                members.insert(name.0, map.next_value()?);
            }
        }
        Ok(Members(members))
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errorlog::{Doing, Kind, kind, upstream_address};

    const LINE: &str = r#"{"level":"error","timestamp":"2026-05-04T10:30:15.042+00:00","pid":12345,"tid":12346,"cnum":3,"msg":"connect() failed","client":"10.0.0.9","server":"lab","request":"GET /\"x HTTP/1.1","upstream":"http://127.0.0.1:8080/api","host":"lab","errno":111,"errtext":"Connection refused"}"#;

    fn read(line: &str) -> LogLine {
        crate::errorlog::parse(line.as_bytes()).expect("a line")
    }

    #[test]
    fn a_line_as_the_manual_has_it() {
        let line = read(LINE);
        assert_eq!((line.pid, line.connection, line.errno), (12345, Some(3), Some(111)));
        assert_eq!((line.time.as_str(), line.level.as_str()), ("2026/05/04 10:30:15", "error"));
        assert_eq!(line.message, "connect() failed (111: Connection refused)");
        assert_eq!(line.request.as_deref(), Some("GET /\"x HTTP/1.1"));
        assert_eq!((kind(&line), line.truncated, line.tags.len()), (Some(Kind::Connect), false, 0));
        assert!(upstream_address(&line).is_some());
        let head = json_head(LINE.as_bytes()).expect("a head");
        assert_eq!((head.level.as_str(), head.pid), ("error", 12345));
    }

    #[test]
    fn control_characters_of_a_level_are_escaped_in_both() {
        let line = LINE.replace(r#""error","timestamp"#, "\"err\x7fr\",\"timestamp");
        let head = json_head(line.as_bytes()).expect("a head");
        assert_eq!((head.level.as_str(), read(&line).level.as_str()), ("err\\x7fr", "err\\x7fr"));
    }

    #[test]
    fn what_nginx_was_doing_stands_in_either_place() {
        let said = LINE
            .replace("connect() failed", "upstream timed out while reading upstream")
            .replace("111", "110");
        let named = LINE
            .replace("connect() failed", "upstream timed out")
            .replace("111,", "110,\"action\":\"reading upstream\",");
        for line in [said, named] {
            let line = read(&line);
            assert_eq!(line.message, "upstream timed out (110: Connection refused) while reading upstream");
            assert_eq!(kind(&line), Some(Kind::TimedOut(Doing::Body)));
        }
    }

    #[test]
    fn tags_and_names_that_come_twice() {
        let tagged = LINE.replace("\"errno\"", "\"request_id\":\"5f\",\"n\":1,\"pid\":7,\"errno\"");
        let line = read(&tagged.replace("\"host\"", "\"truncated\":1,\"host\""));
        assert_eq!((line.pid, line.truncated), (12345, true));
        assert_eq!(line.tags.into_iter().collect::<Vec<_>>(), [("request_id".to_owned(), "5f".to_owned())]);
    }

    #[test]
    fn other_objects() {
        for line in [
            "{}",
            "{",
            "[]",
            r#"{"level":"info","ts":"2026-05-26T07:03:11Z","logger":"x","msg":"y"}"#,
            r#"{"level":"error","timestamp":"2026-05-04T10:30:15Z","pid":-1,"msg":"x"}"#,
            r#"{"level":"error","timestamp":"yesterday","pid":1,"msg":"x"}"#,
        ] {
            assert_eq!((json_head(line.as_bytes()), parse(line.as_bytes())), (None, None), "{line}");
        }
    }
}
