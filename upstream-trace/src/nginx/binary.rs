//! Texts in a program file, without running it. The file may be anybody's: little of it is held at a time.

use std::io::Read;

/// More of a program is not looked through; nginx has one to twenty MiB.
const MAX_PROGRAM: u64 = 32 << 20;
/// Read at a time.
const PIECE: usize = 256 << 10;
/// Longest text that is found wherever it is.
pub(super) const MAX_TEXT: usize = 4_096;

/// Hands pieces of a program to `found` until that returns true. Pieces overlap, so that each text of [`MAX_TEXT`]
/// bytes is whole in one of them.
pub(super) fn look_through(program: impl Read, mut found: impl FnMut(&[u8]) -> bool) {
    let mut program = program.take(MAX_PROGRAM);
    let mut buffer = Vec::with_capacity(PIECE + MAX_TEXT);
    loop {
        let begin = buffer.len();
        let Ok(count) = program.by_ref().take(PIECE as u64).read_to_end(&mut buffer) else { return };
        debug_assert_eq!(begin + count, buffer.len());
        if count == 0 || found(&buffer) {
            return;
        }
        buffer.drain(..buffer.len().saturating_sub(MAX_TEXT));
    }
}

/// What follows a text, up to and without the first byte that ends it; `None` if either is not there.
pub(super) fn after<'a>(bytes: &'a [u8], text: &[u8], ends: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
    let at = bytes.windows(text.len()).position(|window| window == text)? + text.len();
    let rest = &bytes[at..];
    Some(&rest[..rest.iter().take(MAX_TEXT).position(|byte| ends(*byte))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_across_pieces_is_found_and_memory_stays_small() {
        let mut program = vec![b'x'; 3 * PIECE];
        program[PIECE - 3..PIECE + 4].copy_from_slice(b"needle\0");
        let (mut longest, mut seen) = (0, false);
        look_through(&program[..], |piece| {
            longest = longest.max(piece.len());
            seen |= after(piece, b"need", |byte| byte == 0) == Some(b"le");
            false
        });
        assert!(seen && longest <= PIECE + MAX_TEXT, "{seen} {longest}");
        let mut total = 0;
        look_through(std::io::repeat(1), |piece| {
            total += piece.len();
            false
        });
        assert!(total as u64 >= MAX_PROGRAM);
    }
}
