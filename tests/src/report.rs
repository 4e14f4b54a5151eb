//! The report of a scenario that failed: short enough to be read in the middle of others.

use std::fmt::Write as _;

/// Lines of one part of the transcript; what is left out is in its middle.
const PART: usize = 60;
/// Characters of one line.
const LINE: usize = 1_200;
/// Complaints that are printed; a storm makes thousands of the same.
const COMPLAINTS: usize = 20;

/// Complaints, transcript, and complaints again: whoever keeps only one end of a long output has them.
pub(crate) fn report(complaints: &[String], transcript: &str) -> String {
    let list = list(complaints);
    if transcript.is_empty() { list } else { format!("{list}\n{transcript}--- again, what is wrong\n{list}") }
}

fn list(complaints: &[String]) -> String {
    let shown: Vec<String> =
        complaints.iter().take(COMPLAINTS).map(|text| format!("- {}", shorten(text))).collect();
    let left = complaints.len().saturating_sub(COMPLAINTS);
    let rest = if left > 0 { format!("\n- and {left} complaints more") } else { String::new() };
    format!("{}{rest}", shown.join("\n"))
}

/// A part of a transcript, without its middle if it is long.
pub(crate) fn shorten(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let mut short = String::new();
    let left_out = lines.len().saturating_sub(PART);
    for (index, line) in lines.iter().enumerate() {
        let from = PART / 2;
        if left_out > 0 && (from..from + left_out).contains(&index) {
            if index == from {
                let _infallible = writeln!(short, "[{left_out} lines left out]");
            }
            continue;
        }
        match line.char_indices().nth(LINE) {
            Some((end, _)) => drop(writeln!(short, "{}[...]", &line[..end])),
            None => drop(writeln!(short, "{line}")),
        }
    }
    short.truncate(short.trim_end().len());
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_left_out() {
        let text: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let short = shorten(&text.join("\n"));
        let lines: Vec<&str> = short.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[29], lines[31], lines[60]), (61, "0", "29", "970", "999"));
        assert_eq!(lines[30], "[940 lines left out]");
        assert_eq!(shorten("a\nb\n"), "a\nb");
        assert_eq!(shorten(&"é".repeat(LINE + 1)), format!("{}[...]", "é".repeat(LINE)));
    }

    #[test]
    fn complaints_stand_at_both_ends() {
        let complaints: Vec<String> = (0..100).map(|number| format!("no {number}")).collect();
        let report = report(&complaints, "--- the tool\nlines\n");
        assert!(report.starts_with("- no 0\n") && report.ends_with("- no 19\n- and 80 complaints more"));
        assert_eq!(report.matches("- no 19\n").count(), 2);
    }
}
