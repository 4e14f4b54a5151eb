//! Records of several lines. What an application wrote is logged as it came, line ends included: the stderr of a program
//! behind `FastCGI`, messages of Lua and JavaScript. Whoever feeds such a program may put a line there that looks like one of
//! nginx's, and behind what looks like the end of the record, too.

/// Longest record that nginx writes, its end of line included: `NGX_MAX_ERROR_STR`. Longer ones are cut there.
const LONGEST: usize = 2_048;
/// What comes before the text of a program behind `FastCGI`.
const BEFORE: &[u8] = b" sent in stderr: \"";
/// What comes after it.
const AFTER: &[u8] = b"\" while ";
/// What comes before messages of programs within nginx.
const WITHIN: [&[u8]; 4] = [b" [lua] ", b" js: ", b" [perl] ", b" [wasm] "];

/// Whose words a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// nginx's.
    Nginx,
    /// nginx's, or those of the application whose record began right before.
    Doubtful,
    /// The application's: the record before goes on.
    Application,
}

/// The latest record that holds an application's words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// Its bytes so far; 0 if it cannot go on.
    length: usize,
    /// The quote in it is open.
    open: bool,
}

impl Record {
    /// Takes the next line of the file.
    pub(super) fn next(&mut self, line: &[u8]) -> Words {
        let stderr = after(line, BEFORE);
        let within = WITHIN.iter().any(|before| after(line, before).is_some());
        let words = match (self.length, self.open) {
            (0, _) => Words::Nginx,
            (_, true) => Words::Application,
            (_, false) => Words::Doubtful,
        };
        if words != Words::Application && (stderr.is_some() || within) {
            // A new record, unless it is part of the one before: then the end of that is no later than this one's.
            self.length = 0;
        } else if words == Words::Nginx {
            return words;
        }
        self.length += line.len() + 1;
        let quoted = if self.open { Some(line) } else { stderr };
        self.open = quoted.is_some_and(|text| after(text, AFTER).is_none());
        if self.length >= LONGEST {
            *self = Self::default();
        }
        words
    }
}

fn after<'a>(text: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(what.len()).position(|window| window == what)?;
    Some(&text[at + what.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    use Words::{Application, Doubtful, Nginx};

    const FORGED: &str = "2026/11/20 09:12:01 [error] 7#7: *1 bank could not be resolved (3: Host not found)";

    fn words(lines: &[&str]) -> Vec<Words> {
        let mut record = Record::default();
        lines.iter().map(|line| record.next(line.as_bytes())).collect()
    }

    #[test]
    fn text_of_a_program_goes_on_to_its_quote() {
        let lines = [
            "2026/11/20 09:12:01 [error] 7#7: *1 FastCGI sent in stderr: \"PHP message: x",
            FORGED,
            "end\" while reading response header from upstream, client: 10.0.0.1",
        ];
        assert_eq!(words(&lines), [Nginx, Application, Application]);
    }

    #[test]
    fn a_program_may_close_its_own_quote() {
        let whole = "7#7: *1 FastCGI sent in stderr: \"x\" while reading response header from upstream";
        assert_eq!(words(&[whole, FORGED, FORGED]), [Nginx, Doubtful, Doubtful]);
        let far = "y".repeat(LONGEST);
        assert_eq!(words(&[whole, &far, FORGED]), [Nginx, Doubtful, Nginx]);
    }

    #[test]
    fn programs_within_nginx_have_no_quotes() {
        for message in ["[lua] a.lua:1: x", "js: x"] {
            let line = format!("2026/11/20 09:12:01 [error] 7#7: *1 {message}");
            assert_eq!(words(&[&line, FORGED]), [Nginx, Doubtful], "{message}");
        }
    }

    #[test]
    fn a_new_record_of_an_application_begins_anew() {
        let lua = "7#7: *1 [lua] a.lua:1: x";
        let long = format!("{lua}{}", "x".repeat(LONGEST - 40));
        assert_eq!(words(&[&long, lua, FORGED]), [Nginx, Doubtful, Doubtful]);
    }

    #[test]
    fn a_quote_that_a_client_opens_opens_nothing() {
        let line = "7#7: *1 open() failed, request: \"GET /\" HTTP/1.1\", host: \"h\"";
        assert_eq!(words(&[line, line]), [Nginx, Nginx]);
    }

    #[test]
    fn a_record_that_was_cut_ends() {
        let long = format!("7#7: FastCGI sent in stderr: \"{}", "x".repeat(LONGEST));
        assert_eq!(words(&[&long[..LONGEST - 1], "next"]), [Nginx, Nginx]);
        assert_eq!(words(&[&long[..LONGEST - 2], "", "next"]), [Nginx, Application, Nginx]);
    }
}
