//! The words of the rules, as people know them, from `nft -a list ruleset`.

use std::io::{self, BufRead, Read};

use super::Name;

/// Hands JSON on, and notes whether a text in it has line ends or other characters that JSON escapes.
pub(super) struct Checked<R> {
    json: R,
    last: u8,
    escapes: bool,
}

impl<R> Checked<R> {
    pub(super) fn of(json: R) -> Self {
        Self { json, last: 0, escapes: false }
    }

    pub(super) fn has_escapes(&self) -> bool {
        self.escapes
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.json.read(buffer)?;
        for byte in &buffer[..count] {
            // Quotes and backslashes are escaped as well, and are harmless.
            self.escapes |= self.last == b'\\' && matches!(byte, b'n' | b'r' | b'u' | b'f' | b'b' | b't');
            self.last = *byte;
        }
        Ok(count)
    }
}

/// Hands the words of each rule to `rule`, with its chain (family, table, name) and its handle.
pub(super) fn each_rule(listing: impl BufRead, mut rule: impl FnMut(&Name, u64, &str)) {
    let (mut table, mut chain) = (None, None);
    for line in listing.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        // The handle is the last thing on a line, whatever a comment before it says.
        let (line, handle) = match line.rsplit_once(" # handle ") {
            Some((line, handle)) => (line, handle.trim().parse::<u64>().ok()),
            None => (&*line, None),
        };
        let depth = line.len() - line.trim_start_matches('\t').len();
        let mut words = line.split_whitespace();
        match (depth, words.next()) {
            (0, Some("table")) => {
                table = words
                    .next()
                    .zip(words.next())
                    .map(|(family, table)| (family.to_owned(), table.to_owned()));
            }
            (1, Some("chain")) => {
                let name = table.clone().zip(words.next());
                chain = name.map(|((family, table), name)| (family, table, name.to_owned()));
            }
            (1, Some(_)) => chain = None,
            (2, Some(_)) => {
                if let (Some(chain), Some(handle)) = (&chain, handle) {
                    rule(chain, handle, &without_counts(line.trim()));
                }
            }
            _ => {}
        }
    }
}

/// Counts change all the time.
fn without_counts(text: &str) -> String {
    let Some((before, after)) = text.split_once("counter packets ") else { return text.to_owned() };
    let mut rest = after.splitn(4, ' ');
    let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
    let counts = number(rest.next()) && rest.next() == Some("bytes") && number(rest.next());
    match rest.next() {
        Some(rest) if counts => format!("{before}counter {rest}"),
        None if counts => format!("{before}counter"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_handle_of_a_line_counts_and_counters_go() {
        let listing = "table inet filter { # handle 2\n\tset s { # handle 4\n\t\ttype ipv4_addr\n\t}\n\n\tchain out { # handle 3\n\
                       \t\ttype filter hook output priority filter; policy accept;\n\
                       \t\ttcp dport 1 counter packets 3 bytes 180 drop comment \"x # handle 5\" # handle 16\n\t}\n}\n";
        let mut found = Vec::new();
        each_rule(listing.as_bytes(), |(family, table, chain), handle, words| {
            found.push(format!("{family} {table} {chain} {handle}: {words}"));
        });
        assert_eq!(found, ["inet filter out 16: tcp dport 1 counter drop comment \"x # handle 5\""]);
        assert_eq!(without_counts("counter packets 1 bytes 2"), "counter");
        assert_eq!(
            without_counts("log prefix \"counter packets x\" drop"),
            "log prefix \"counter packets x\" drop"
        );
    }
}
