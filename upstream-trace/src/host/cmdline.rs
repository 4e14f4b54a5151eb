//! Command lines of processes. A program may replace its own by a title: nginx writes one, with all its arguments in
//! it, `nginx: master process /usr/sbin/nginx -c FILE`.

use std::fs::File;
use std::io::Read;

/// Longest command line that is looked at, bytes.
const MAX_BYTES: u64 = 8_192;

/// The arguments of a process, the program first. Bytes that are no UTF-8 are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    arguments: Vec<String>,
}

impl CommandLine {
    /// That of a process; `None` if it is gone. A kernel thread has no arguments.
    #[must_use]
    pub fn read(pid: u32) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(format!("/proc/{pid}/cmdline")).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(Self::parse(&bytes))
    }

    /// Takes apart what `/proc/PID/cmdline` holds: arguments that end with a zero byte each. A title is padded.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\0', ' ']);
        if text.is_empty() {
            return Self::default();
        }
        Self { arguments: text.split('\0').map(|argument| argument.trim_end().to_owned()).collect() }
    }

    /// The arguments, the program first.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The first argument: the program, or the title that it gave itself.
    #[must_use]
    pub fn title(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    /// The words, also of a title that holds all of them in one argument.
    fn words(&self) -> Vec<&str> {
        if self.title().contains(": ") {
            return self.title().split_whitespace().collect();
        }
        self.arguments.iter().map(String::as_str).collect()
    }

    /// The value of one of nginx's options: `-cFILE`, `-c FILE` or `-qc FILE`.
    #[must_use]
    pub fn option(&self, letter: char) -> Option<String> {
        let words = self.words();
        let mut words = words.iter().skip_while(|word| !word.starts_with('-'));
        while let Some(word) = words.next() {
            let Some(rest) = word.strip_prefix('-') else { continue };
            // Letters of options may stand together, and the last one may have a value: `-qc FILE`.
            for (at, c) in rest.char_indices() {
                let attached = &rest[at + c.len_utf8()..];
                if c == letter {
                    let value = if attached.is_empty() { words.next()? } else { attached };
                    return Some(value.to_owned());
                }
                if matches!(c, 'p' | 'c' | 'e' | 'g' | 's') {
                    // The value of another option; directives of `-g` are words of their own in a title.
                    if attached.is_empty() {
                        words.next();
                    }
                    break;
                }
                if !c.is_ascii_alphanumeric() && c != '?' {
                    break;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(cmdline: &str, letter: char) -> Option<String> {
        CommandLine::parse(cmdline.replace('|', "\0").as_bytes()).option(letter)
    }

    fn file(cmdline: &str) -> Option<String> {
        option(cmdline, 'c')
    }

    #[test]
    fn options_of_the_command_line() {
        let title = "nginx: master process /usr/sbin/nginx -p /lab -c nginx.conf -e error.log -g daemon off;";
        assert_eq!(file(title).as_deref(), Some("nginx.conf"));
        assert_eq!(option(title, 'p').as_deref(), Some("/lab"));
        assert_eq!(file("nginx|-c|/etc/a b.conf|-g|daemon off;").as_deref(), Some("/etc/a b.conf"));
        assert_eq!(file("nginx|-c/etc/b.conf").as_deref(), Some("/etc/b.conf"));
        assert_eq!(file("nginx|-qc|/etc/c.conf").as_deref(), Some("/etc/c.conf"));
        assert_eq!(file("nginx|-e|-c|-g|x"), None, "the value of another option");
        assert_eq!(file("nginx: master process nginx"), None);
        assert_eq!(file(""), None);
        assert_eq!(file("nginx|-c"), None);
    }

    #[test]
    fn odd_command_lines() {
        let arguments = |bytes: &[u8]| CommandLine::parse(bytes).arguments().to_vec();
        assert_eq!(arguments(b""), Vec::<String>::new());
        assert_eq!(arguments(b"\0\0 \0"), Vec::<String>::new());
        assert_eq!(arguments(b"a\xff\0b  \0"), ["a\u{fffd}", "b"]);
        assert_eq!(CommandLine::read(u32::MAX), None);
        assert!(CommandLine::read(std::process::id()).is_some_and(|own| !own.title().is_empty()));
    }
}
