//! Rules of a firewall without what an administrator wrote into them for people.

use super::REDACTED;

/// Options of iptables whose value is free text.
const FREE: [&str; 6] = ["--comment", "--log-prefix", "--nflog-prefix", "--string", "--hex-string", "--path"];

/// What stands before a quoted text that is the name of an interface.
const INTERFACE: [&str; 6] = ["iifname ", "oifname ", "iif ", "oif ", "ibrname ", "obrname "];

/// The rule without comments, prefixes of logs, and every other text in quotes but names of interfaces.
pub(super) fn without_texts(text: &str) -> String {
    without_quoted(&without_values(text))
}

/// Values of options without quotes.
fn without_values(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        if FREE.contains(&words[at - 1]) && !words[at].starts_with('"') {
            words[at] = REDACTED;
        }
    }
    words.join(" ")
}

/// What a quoted text holds may itself hold quotes: so all is gone from the first to the last one.
fn without_quoted(text: &str) -> String {
    let Some(open) = first_quote(text) else { return text.to_owned() };
    let close = text.rfind('"').filter(|close| *close > open).map_or("", |close| &text[close..]);
    format!("{}\"{REDACTED}{close}", &text[..open])
}

/// The first quote that does not begin or end the name of an interface.
fn first_quote(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find('"')?;
        let name = &text[open + 1..];
        let interface = INTERFACE.iter().any(|before| text[..open].trim_end_matches("!= ").ends_with(before));
        match name.find('"').filter(|end| interface && *end < 16 && !name[..*end].contains(' ')) {
            Some(end) => from = open + 1 + end + 1,
            None => return Some(open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_for_people_go() {
        for (rule, expected) in [
            (
                r#"tcp dport 80 drop comment "for bob "x"" # handle 7"#,
                r#"tcp dport 80 drop comment "(redacted)" # handle 7"#,
            ),
            (r#"log prefix "bob: " drop comment "bob""#, r#"log prefix "(redacted)""#),
            (
                r#"oifname "eth0" iifname != "eth1" drop comment "bob""#,
                r#"oifname "eth0" iifname != "eth1" drop comment "(redacted)""#,
            ),
            (
                "-A OUTPUT -m comment --comment bob -j DROP",
                "-A OUTPUT -m comment --comment (redacted) -j DROP",
            ),
            (
                "-A X -m comment --comment bob -m comment --comment eve -j LOG --log-prefix bob:",
                "-A X -m comment --comment (redacted) -m comment --comment (redacted) -j LOG --log-prefix (redacted)",
            ),
            (
                r#"-A X -m comment --comment bob -m comment --comment "bob \" bob" -j DROP"#,
                r#"-A X -m comment --comment (redacted) -m comment --comment "(redacted)" -j DROP"#,
            ),
            (r#"drop comment "bob"#, r#"drop comment "(redacted)"#),
            ("tcp dport 80 drop", "tcp dport 80 drop"),
        ] {
            assert_eq!(without_texts(rule), expected);
        }
    }
}
