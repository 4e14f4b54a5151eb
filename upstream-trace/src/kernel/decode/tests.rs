use super::super::symbols::Symbols;
use super::*;

/// The event that these words, in the order of the structure, are decoded to.
fn decode(kind: EventKind, words: &[u64]) -> Option<Event> {
    let header = [7, u64::from(kind as u32)];
    let bytes: Vec<u8> = header.iter().chain(words).flat_map(|word| word.to_ne_bytes()).collect();
    let (layout, symbols) = (Layout::default(), LateSymbols::from(Symbols::default()));
    match (Decoder { layout: &layout, symbols: &symbols }).message(&bytes, |_| None)? {
        Message::Event(event) => Some(*event),
        _ => None,
    }
}

#[test]
fn events_that_need_only_the_number_of_an_attempt() {
    assert_eq!(
        decode(EventKind::Answered, &[5]),
        Some(Event::Answered { at: 7, attempt: AttemptId::from_kernel(5) })
    );
    assert_eq!(
        decode(EventKind::ClientGone, &[5]),
        Some(Event::ClientGone { at: 7, attempt: AttemptId::from_kernel(5) })
    );
    assert_eq!(decode(EventKind::ClientGone, &[]), None);
}
