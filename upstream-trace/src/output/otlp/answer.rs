//! What a receiver's answer means.

use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Response};
use ureq::{Body, Error};

/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 10;
/// Longest pause that a receiver can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was taken, but for so many records.
    Taken(u64),
    /// To be tried again, after that time if the receiver asks for it: why.
    Later(String, Option<Duration>),
    /// It makes no sense to try again: why.
    Refused(String),
}

/// Reads the rest of an answer: the request failed, or the head of the answer is here.
pub(super) fn read(answer: Result<Response<Body>, Error>) -> Sent {
    let mut answer = match answer {
        Ok(answer) => answer,
        // What the environment or the command line has wrong does not mend itself.
        Err(error @ (Error::Http(_) | Error::BadUri(_))) => return Sent::Refused(error.to_string()),
        Err(error) => return Sent::Later(error.to_string(), None),
    };
    let status = answer.status().as_u16();
    match status {
        200..=299 => {
            let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
            success(status, answer.headers(), body)
        }
        429 | 502 | 503 | 504 => {
            Sent::Later(format!("the receiver answers {status}"), retry_after(answer.headers()))
        }
        _ => Sent::Refused(format!("the receiver answers {status}")),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// A receiver answers with an object of OTLP, or with nothing. Whatever else says 200, a web server's front page above
/// all, has not kept the events; neither has one whose answer does not end.
fn success(status: u16, headers: &HeaderMap, body: Result<Vec<u8>, Error>) -> Sent {
    let body = match body {
        Ok(body) => body,
        Err(Error::BodyExceedsLimit(_)) => {
            return Sent::Refused(format!("the receiver answers {status} and more than {MAX_ANSWER} bytes"));
        }
        Err(error) => return Sent::Later(error.to_string(), None),
    };
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if body.trim_ascii().is_empty() || kind.contains("protobuf") {
        return Sent::Taken(0);
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(answer)) => Sent::Taken(answer.get("partialSuccess").map_or(0, rejected)),
        _ => Sent::Refused(format!("the receiver answers {status}, but not as OTLP has it")),
    }
}

/// Records that the receiver did not want.
fn rejected(partial_success: &Value) -> u64 {
    let count = &partial_success["rejectedLogRecords"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(kind: &'static str, body: &str) -> Sent {
        let headers = [("content-type".parse().unwrap(), kind.parse().unwrap())].into_iter().collect();
        success(200, &headers, Ok(body.as_bytes().to_vec()))
    }

    #[test]
    fn partial_success_is_understood_in_both_forms() {
        for (body, rejected) in [
            (r#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedLogRecords":4}}"#, 4),
            (r#"{"partialSuccess":null}"#, 0),
            ("{}", 0),
            (" \r\n", 0),
        ] {
            assert_eq!(answered("application/json", body), Sent::Taken(rejected), "{body}");
        }
        assert_eq!(answered("application/x-protobuf", "\u{a}"), Sent::Taken(0));
    }

    #[test]
    fn whoever_answers_200_without_knowing_otlp_has_kept_nothing() {
        for body in ["<html>It works!</html>", "[]", "ok", "{", "\u{0}"] {
            let Sent::Refused(why) = answered("text/html", body) else { panic!("{body}") };
            assert_eq!(why, "the receiver answers 200, but not as OTLP has it");
        }
    }
}
