//! Pieces of a line, put together again.

use super::{Piece, Stream};

/// Longest line that is put together, bytes; nginx's own end at half of it.
const LONGEST: usize = 4_096;

/// Pieces of lines that are not whole yet: of each stream one, since a runtime mixes the two.
#[derive(Debug, Default)]
pub struct Pieces {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Pieces {
    /// Adds a piece, and hands out the line if that is now whole, cut at its longest length.
    pub fn add(&mut self, piece: &Piece<'_>, line: &mut dyn FnMut(&[u8])) {
        let begun = match piece.stream {
            Some(Stream::Stdout) => &mut self.stdout,
            _ => &mut self.stderr,
        };
        if begun.is_empty() && !piece.partial {
            line(&piece.text[..piece.text.len().min(LONGEST)]);
            return;
        }
        let room = LONGEST.saturating_sub(begun.len());
        begun.extend_from_slice(&piece.text[..piece.text.len().min(room)]);
        if !piece.partial {
            line(begun);
            begun.clear();
        }
    }

    /// Forgets what was begun: what follows belongs to other lines.
    pub fn clear(&mut self) {
        self.stdout.clear();
        self.stderr.clear();
    }
}
