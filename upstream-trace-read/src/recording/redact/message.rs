//! Messages of nginx without what they quote and the names that they hold.

use std::net::SocketAddr;

use upstream_trace_core::errorlog;
use upstream_trace_core::event::LogLine;

use super::texts::is_known;
use super::{REDACTED, Redactor};

impl Redactor {
    /// The message, if it is of a known form: its form stays, so that verdicts stay. Nothing of any other stays.
    pub(super) fn message(&mut self, line: &LogLine) -> String {
        if !errorlog::is_used(line) {
            return REDACTED.to_owned();
        }
        // A fixed text.
        if errorlog::is_limiting(line) {
            return line.message.clone();
        }
        self.words(&line.message)
    }

    pub(super) fn words(&mut self, text: &str) -> String {
        let mut words = text.to_owned();
        if let Some(open) = words.find('"') {
            let close = words.rfind('"').filter(|close| *close > open).unwrap_or(words.len());
            words.replace_range(open + 1..close, REDACTED);
        }
        if let Some((name, rest)) = words.split_once(" could not be resolved (") {
            return format!("{} could not be resolved ({}", self.host(name), known(rest));
        }
        for before in ["no resolver defined to resolve ", "DNS response for "] {
            if let Some((begin, name)) = words.split_once(before) {
                let (name, rest) = name.split_at(name.find(' ').unwrap_or(name.len()));
                return format!("{}{before}{}{}", known(begin), self.host(name), known(rest));
            }
        }
        if let Some(rest) = words.strip_prefix("connect() to ")
            && let Some((address, rest)) = rest.rsplit_once(" failed")
        {
            return format!("connect() to {} failed{}", self.address(address), known(rest));
        }
        // The address may be the client's.
        if words.starts_with("bind(")
            && let Some((_, rest)) = words.split_once(" failed")
        {
            return format!("bind({REDACTED}) failed{}", known(rest));
        }
        known(&words)
    }

    /// Addresses and the paths of sockets of upstreams stay.
    fn address(&mut self, text: &str) -> String {
        let socket = text.strip_prefix("unix:").is_some_and(|path| path.len() <= LONGEST_SOCKET);
        if socket || text.parse::<SocketAddr>().is_ok() { text.to_owned() } else { self.host(text) }
    }
}

/// `sun_path`, each byte of which may have become three (`unix(7)`).
const LONGEST_SOCKET: usize = 3 * 108;

/// What nginx was doing, if that is known.
pub(super) fn action(text: &str) -> String {
    known(text)
}

/// The text with every run of unknown words replaced.
fn known(text: &str) -> String {
    let mut known: Vec<&str> = Vec::new();
    for word in text.split(' ') {
        if is_known(word) || word.contains(REDACTED) && is_known(&word.replace(REDACTED, "")) {
            known.push(word);
        } else if known.last() != Some(&REDACTED) {
            known.push(REDACTED);
        }
    }
    known.join(" ")
}
