//! Text from outside (names, paths, log lines) in sentences: which characters must not reach a terminal raw.

pub(crate) mod shell;

use std::borrow::Cow;

/// A character that could move the cursor, change colours, hide text or turn its direction.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' // invisible
            | '\u{180b}'..='\u{180f}'     // Mongolian selectors and vowel separator
            | '\u{200b}'..='\u{200f}'     // zero width, direction marks
            | '\u{2028}'..='\u{202e}'     // line and paragraph separators, bidi embeddings and overrides
            | '\u{2060}'..='\u{206f}'     // invisible operators, bidi isolates
            | '\u{3164}' | '\u{ffa0}'     // fillers
            | '\u{fe00}'..='\u{fe0f}'     // variation selectors
            | '\u{feff}'                  // byte order mark
            | '\u{fff9}'..='\u{fffb}'     // annotations
            | '\u{e0000}'..='\u{e0fff}') // tags
}

/// A value in a sentence. Backquotes mark commands there, so that those of a value become apostrophes: a value can
/// neither open nor close a command.
#[must_use]
pub fn sentence(value: &str) -> Cow<'_, str> {
    if value.contains('`') { Cow::Owned(value.replace('`', "'")) } else { Cow::Borrowed(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_no_command() {
        assert_eq!(sentence("a `reboot` b"), "a 'reboot' b");
        assert!(matches!(sentence("/run/app.sock"), Cow::Borrowed(_)));
    }

    #[test]
    fn terminal_controls_are_unsafe_and_letters_are_not() {
        assert!("\x1b\u{9b}\u{7f}\n\u{202e}\u{200b}\u{e0041}".chars().all(is_unsafe));
        assert!(!"größe 日本 `$(x)`".chars().any(is_unsafe));
    }
}
