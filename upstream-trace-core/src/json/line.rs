//! One object as one line of JSON, straight into a writer.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::text::is_unsafe;

/// Writes the object and a line feed. Characters that a terminal obeys or that hide text are written as `\uXXXX`, so that
/// the output may be looked at as it is; to a reader of JSON that is the same text.
///
/// # Errors
/// What the writer says.
pub fn write(to: &mut impl io::Write, object: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *to, Escaping);
    object.serialize(&mut serializer)?;
    to.write_all(b"\n")
}

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_unsafe(*c)) {
            to.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(to, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        to.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let mut to = Vec::new();
        write(&mut to, &[text]).expect("written");
        String::from_utf8(to).expect("text")
    }

    #[test]
    fn ordinary_text_stays() {
        assert_eq!(line("größe 日本 \"x\"\n"), "[\"größe 日本 \\\"x\\\"\\n\"]\n");
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_means_the_same() {
        let text = "a\u{9b}31m\u{7f}b\u{202e}c\u{e0041}d";
        let written = line(text);
        assert_eq!(written, "[\"a\\u009b31m\\u007fb\\u202ec\\udb40\\udc41d\"]\n");
        assert_eq!(serde_json::from_str::<[String; 1]>(&written).expect("JSON")[0], text);
    }
}
