//! Width and colours of a text for people.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter, wrap};

/// What matters most.
pub const BOLD: Style = Style::new().bold();
/// What matters least.
pub const DIM: Style = Style::new().dimmed();
/// Failures.
pub const RED: Style = AnsiColor::Red.on_default().bold();
/// What is not over, or not certain.
pub const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
/// What went well after all.
pub const GREEN: Style = AnsiColor::Green.on_default().bold();
/// What to do.
pub const CYAN: Style = AnsiColor::Cyan.on_default().bold();

/// A space that no line is broken at; printed as a space.
pub(super) const NBSP: char = '\u{a0}';

/// How wide, and whether with colours.
#[derive(Clone, Copy, Debug)]
pub struct TextLayout {
    /// Columns.
    pub width: usize,
    /// Whether escape sequences for colours may be used.
    pub colour: bool,
}

impl TextLayout {
    /// The text in that style, if colours are wanted.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> Cow<'_, str> {
        if self.colour { format!("{style}{text}{style:#}").into() } else { text.to_owned().into() }
    }

    /// What stands above all that is of one host.
    #[must_use]
    pub fn heading(self, host: &str, file: &str, since: &str) -> String {
        let mut text = String::new();
        let first = format!("{} ", self.paint(CYAN, &format!("== {}", nbsp(host))));
        let file = if file == host { String::new() } else { format!("{}, ", nbsp(file)) };
        self.wrap(&mut text, &first, 3, &format!("({file}from {} on)", nbsp(since)));
        text.push('\n');
        text
    }

    /// Adds the text as lines that fit the width, the first one after `first`, the others after as many spaces as
    /// `rest` says. Only words that are too long by themselves make a longer line.
    pub fn wrap(self, to: &mut String, first: &str, rest: usize, text: &str) {
        if text.is_empty() {
            to.extend([first.trim_end(), "\n"]);
            return;
        }
        let indent = " ".repeat(rest);
        let options = Options::new(self.width)
            .initial_indent(first)
            .subsequent_indent(&indent)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .break_words(false);
        for line in wrap(text, options) {
            to.extend(line.trim_end().chars().map(|c| if c == NBSP { ' ' } else { c }));
            to.push('\n');
        }
    }
}

/// Ties the words of everything in backquotes together: a command that is broken over lines cannot be copied.
#[must_use]
pub fn nbsp_commands(text: &str) -> String {
    let mut parts = text.split('`').peekable();
    let mut tied = String::with_capacity(text.len() + 16);
    let mut command = false;
    while let Some(part) = parts.next() {
        let closed = parts.peek().is_some();
        tied += &if command && closed { nbsp(part) } else { part.to_owned() };
        if closed {
            tied.push('`');
        }
        command = !command;
    }
    tied
}

/// Ties the words of a text together.
pub(super) fn nbsp(text: &str) -> String {
    text.replace(' ', NBSP.encode_utf8(&mut [0; 2]))
}

#[cfg(test)]
pub(super) mod tests {
    use textwrap::core::display_width;

    use super::*;

    /// Asserts that no line is wider, unless it is one word after its indent.
    #[track_caller]
    pub(in crate::output) fn assert_fits(text: &str, width: usize) {
        for line in text.lines() {
            let one_word = !line.trim_start().contains(' ');
            assert!(display_width(line) <= width || one_word, "{} > {width}: {line:?}", display_width(line));
        }
    }

    fn wrapped(width: usize, text: &str) -> String {
        let mut to = String::new();
        TextLayout { width, colour: false }.wrap(&mut to, "  = help: ", 4, text);
        to
    }

    #[test]
    fn lines_fit_and_long_words_stay_whole() {
        let text =
            "look at the accept-queue-full counters of unix:/run/a/very/long/path/app.sock on that host";
        for width in [20, 40, 80] {
            let wrapped = wrapped(width, text);
            assert_fits(&wrapped, width);
            for word in text.split(' ') {
                assert!(wrapped.split_ascii_whitespace().any(|w| w == word), "{word} was broken");
            }
        }
    }

    #[test]
    fn commands_stay_in_one_piece() {
        let text = nbsp_commands("run `ss -ltn sport = :8082` on it; an open ` stays as it is");
        let wrapped = wrapped(24, &text);
        assert!(wrapped.lines().any(|line| line.trim() == "`ss -ltn sport = :8082`"), "{wrapped}");
        assert!(wrapped.contains("an open `"), "{wrapped}");
    }

    #[test]
    fn colours_take_no_width() {
        let page = TextLayout { width: 20, colour: true };
        let mut to = String::new();
        page.wrap(
            &mut to,
            "",
            0,
            &format!("{} {}", page.paint(RED, "failure"), page.paint(BOLD, "port-refused")),
        );
        assert_eq!(to.lines().count(), 1);
        assert_eq!(to.matches('\x1b').count(), 4 + to.matches("\x1b[1m\x1b").count());
    }
}
