//! The words of the rules, as people know them, from `nft -a list ruleset`.

use std::io::BufRead;

/// Hands the words of each rule to `rule`, with its family, table, chain and handle.
pub(super) fn each_rule(listing: impl BufRead, mut rule: impl FnMut(&str, &str, &str, u64, &str)) {
    let (mut table, mut chain) = (None, None);
    for line in listing.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        // The handle is the last thing on a line, whatever a comment before it says.
        let (line, handle) = match line.rsplit_once(" # handle ") {
            Some((line, handle)) => (line, handle.trim().parse::<u64>().ok()),
            None => (&*line, None),
        };
        let depth = line.len() - line.trim_start_matches('\t').len();
        let mut words = line.split_whitespace().map(str::to_owned);
        match (depth, words.next().as_deref()) {
            (0, Some("table")) => table = words.next().zip(words.next()),
            (1, Some("chain")) => chain = words.next(),
            (1, Some(_)) => chain = None,
            (2, Some(_)) => {
                if let (Some((family, table)), Some(chain), Some(handle)) = (&table, &chain, handle) {
                    rule(family, table, chain, handle, &without_counts(line.trim()));
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
        each_rule(listing.as_bytes(), |family, table, chain, handle, words| {
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
