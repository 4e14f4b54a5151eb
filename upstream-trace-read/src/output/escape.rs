//! Makes text that comes from outside (paths, names, log lines) harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

use upstream_trace_core::text::is_unsafe;

/// Shows characters that could move the cursor, change colours, hide text or turn its direction as `\x1b`, `\n` or
/// `\u{202e}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let _ = match c {
            '\n' => shown.write_str("\\n"),
            '\r' => shown.write_str("\\r"),
            '\t' => shown.write_str("\\t"),
            _ if !is_unsafe(c) => shown.write_char(c),
            '\0'..='\u{ff}' => write!(shown, "\\x{:02x}", u32::from(c)),
            _ => write!(shown, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    Cow::Owned(shown)
}

/// JSON whose texts hold no characters that a terminal obeys or that turn the direction of text: they are escaped as
/// JSON does it, and stay the same for whoever parses it.
#[must_use]
pub(super) fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_not_copied() {
        for text in ["", "unix:/run/app.sock", "10.99.0.2:8082", "/srv/größe/日本", r"C:\new"] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn json_stays_the_same_for_whoever_parses_it() {
        let text = "\u{7f}\u{9b}31m\u{202e}\u{e0041}\u{1b}\n\"größe\\";
        let json = serde_json::json!({ "text": text }).to_string();
        let escaped = escape_json(&json);
        assert!(!escaped.chars().any(is_unsafe), "{escaped}");
        assert!(escaped.contains(r"\u007f\u009b31m\u202e\udb40\udc41"), "{escaped}");
        let parsed: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(parsed["text"], text);
    }

    #[test]
    fn what_a_terminal_obeys_becomes_visible() {
        let cases = [
            ("\x1b[2J\x07", r"\x1b[2J\x07"),
            ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
            ("\u{9b}31m\u{7f}", r"\x9b31m\x7f"),
            ("/tmp/\u{202e}kcos.ppa", r"/tmp/\u{202e}kcos.ppa"),
            ("a\u{2066}b\u{2069}\u{200b}\u{feff}\u{2028}", r"a\u{2066}b\u{2069}\u{200b}\u{feff}\u{2028}"),
            ("\u{e0041}", r"\u{e0041}"),
        ];
        for (text, shown) in cases {
            assert_eq!(escape(text), shown);
        }
    }
}
