//! Bounds on what an event may hold: a recording may be of anybody.

use std::mem::size_of_val;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Attempt, LogLine, PacketDrop, ResetSent, Step};

/// Longest text of an event, bytes. nginx writes lines of at most 2 KiB (`NGX_MAX_ERROR_STR`), and an escaped byte takes
/// four.
pub const MAX_TEXT: usize = 8 * 1024;

/// Most steps of an attempt, or queries of a lookup: more than there ever is room for where they are made.
const MAX_STEPS: usize = 256;

/// How many bytes a value takes, with all that belongs to it.
pub(crate) trait Weigh {
    /// Its bytes, those of its texts included.
    fn weigh(&self) -> usize;
}

impl Weigh for Attempt {
    fn weigh(&self) -> usize {
        let reasons = self.trail.iter().map(|moment| match &moment.step {
            Step::Dropped { reason } => reason.capacity(),
            _ => 0,
        });
        let texts = self.non_tls_prefix.as_ref().map_or(0, String::capacity) + reasons.sum::<usize>();
        size_of_val(self) + size_of_val(&self.trail[..]) + texts
    }
}

impl Weigh for LogLine {
    fn weigh(&self) -> usize {
        let optional = [
            &self.action,
            &self.client,
            &self.server,
            &self.request,
            &self.subrequest,
            &self.upstream,
            &self.host,
            &self.resolver,
        ];
        let optional = optional.into_iter().flatten().map(String::capacity).sum::<usize>();
        let texts = [&self.time, &self.level, &self.message, &self.file].map(String::capacity);
        size_of_val(self) + optional + texts.iter().sum::<usize>()
    }
}

impl Weigh for PacketDrop {
    fn weigh(&self) -> usize {
        let netfilter = self.netfilter.as_ref().map_or(0, |netfilter| {
            let optional = [&netfilter.hook, &netfilter.family].into_iter().flatten().map(String::capacity);
            optional.sum::<usize>() + netfilter.by.capacity()
        });
        size_of_val(self)
            + self.reason.capacity()
            + self.function.as_ref().map_or(0, String::capacity)
            + netfilter
    }
}

impl Weigh for ResetSent {
    fn weigh(&self) -> usize {
        size_of_val(self) + self.reason.capacity()
    }
}

/// About how many bytes a value takes that is rare and has many parts: those of its JSON.
pub(crate) fn weigh_rare(value: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    match serde_json::to_writer(&mut counted, value) {
        Ok(()) => size_of_val(value) + counted.0,
        Err(_) => usize::MAX / 2,
    }
}

struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A text of an event, cut at [`MAX_TEXT`].
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(cut)
}

/// The same, of a text that may be missing.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(cut))
}

/// Steps of an attempt, queries of a lookup; further ones are left out.
pub(super) fn steps<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let mut all = Vec::<T>::deserialize(from)?;
    if all.len() > MAX_STEPS {
        all.truncate(MAX_STEPS);
        all.shrink_to_fit();
    }
    Ok(all)
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Moment};
    use crate::testkit::{line, netfilter_drop, unanswered_syn};

    fn read_again(event: &Event) -> Event {
        serde_json::from_value(serde_json::to_value(event).expect("JSON")).expect("an event")
    }

    #[test]
    fn long_texts_are_cut_where_a_recording_is_read() {
        let long = "ß".repeat(1_000_000);
        let own = || Some(long.clone());
        let said = LogLine {
            message: long.clone(),
            request: own(),
            host: own(),
            client: own(),
            upstream: own(),
            ..line("")
        };
        let Event::Log(read) = read_again(&Event::Log(said)) else { panic!("a line") };
        assert_eq!(read.message.len(), MAX_TEXT);
        assert!(read.weigh() < 6 * MAX_TEXT);
        let packet = PacketDrop { reason: long.clone(), function: own(), ..netfilter_drop("output", "nft") };
        let Event::Drop(read) = read_again(&Event::Drop(packet)) else { panic!("a packet") };
        assert!(read.weigh() < 3 * MAX_TEXT);
        let mut attempt = unanswered_syn();
        (attempt.tls_handshake, attempt.non_tls_prefix) = (true, own());
        let step = attempt.trail[0].clone();
        attempt.trail = vec![step; 10_000];
        let Event::End(read) = read_again(&Event::End(attempt)) else { panic!("an attempt") };
        assert_eq!((read.trail.len(), read.non_tls_prefix.map(|text| text.len())), (256, Some(MAX_TEXT)));
    }

    #[test]
    fn what_is_weighed_has_all_its_texts() {
        let mut attempt = unanswered_syn();
        let before = attempt.weigh();
        let reason = "x".repeat(1_000);
        attempt.trail.push(Moment { at: 1, step: Step::Dropped { reason }, count: 1, span_ms: 0 });
        assert!(attempt.weigh() >= before + 1_000);
        let short = line("short");
        let long = LogLine { message: "x".repeat(1_000), ..short.clone() };
        assert!(long.weigh() >= short.weigh() + 900);
        assert!(weigh_rare(&long) > weigh_rare(&short) + 900);
    }
}
