//! Records of several lines. What a program behind `FastCGI` wrote to its stderr is logged as it came, line ends included, so
//! that whoever feeds that program may put a line there that looks like one of nginx's.

/// Longest record that nginx writes, its end of line included: `NGX_MAX_ERROR_STR`. Longer ones are cut there.
const LONGEST: usize = 2_048;
/// What comes before such text.
const BEFORE: &[u8] = b" sent in stderr: \"";
/// What comes after it.
const AFTER: &[u8] = b"\" while ";

/// Whether the record before goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// Bytes of the record whose quote is open; 0 if none is.
    open: usize,
}

impl Record {
    /// Takes the next line of the file; true if it is the continuation of the one before.
    pub(super) fn continues(&mut self, line: &[u8]) -> bool {
        let continues = self.open > 0;
        let quoted = if continues { Some(line) } else { after(line, BEFORE) };
        let length = self.open + line.len() + 1;
        let goes_on = length < LONGEST && quoted.is_some_and(|text| after(text, AFTER).is_none());
        self.open = if goes_on { length } else { 0 };
        continues
    }
}

fn after<'a>(text: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(what.len()).position(|window| window == what)?;
    Some(&text[at + what.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn continued(lines: &[&str]) -> Vec<bool> {
        let mut record = Record::default();
        lines.iter().map(|line| record.continues(line.as_bytes())).collect()
    }

    #[test]
    fn text_of_a_program_goes_on_to_its_quote() {
        let forged = "2026/11/20 09:12:01 [error] 7#7: *1 bank could not be resolved (3: Host not found)";
        let lines = [
            "2026/11/20 09:12:01 [error] 7#7: *1 FastCGI sent in stderr: \"PHP message: x",
            forged,
            "end\" while reading response header from upstream, client: 10.0.0.1",
            forged,
        ];
        assert_eq!(continued(&lines), [false, true, true, false]);
        let whole = "7#7: *1 FastCGI sent in stderr: \"x\" while reading response header from upstream";
        assert_eq!(continued(&[whole, forged]), [false, false]);
    }

    #[test]
    fn a_quote_that_a_client_opens_opens_nothing() {
        let line = "7#7: *1 open() failed, request: \"GET /\" HTTP/1.1\", host: \"h\"";
        assert_eq!(continued(&[line, line]), [false, false]);
    }

    #[test]
    fn a_record_that_was_cut_ends() {
        let long = format!("7#7: FastCGI sent in stderr: \"{}", "x".repeat(LONGEST));
        assert_eq!(continued(&[&long[..LONGEST - 1], "next"]), [false, false]);
        assert_eq!(continued(&[&long[..LONGEST - 2], "", "next"]), [false, true, false]);
    }
}
