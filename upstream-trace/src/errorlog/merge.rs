//! Lines of several files, in the order in which they were written as far as that can be known: each file keeps its own.

use std::collections::VecDeque;

use upstream_trace_core::event::LogLine;

/// Of the next lines of all files, the one with the earliest second goes first, and in the same second that of the
/// client who came first: mostly a failure comes soon after its client.
pub(super) fn by_time(lines: Vec<LogLine>) -> Vec<LogLine> {
    let one = lines.windows(2).all(|pair| pair[0].file == pair[1].file);
    if one {
        return lines;
    }
    let count = lines.len();
    let mut files: Vec<VecDeque<LogLine>> = Vec::new();
    for line in lines {
        match files.iter_mut().find(|file| file.front().is_some_and(|first| first.file == line.file)) {
            Some(file) => file.push_back(line),
            None => files.push(VecDeque::from([line])),
        }
    }
    let mut merged = Vec::with_capacity(count);
    while let Some(next) = files
        .iter_mut()
        .filter(|file| !file.is_empty())
        .min_by_key(|file| file.front().map(|line| (line.time.clone(), line.connection)))
    {
        merged.extend(next.pop_front());
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_merged_and_keep_their_order() {
        let line = |file: &str, second: u8, connection| LogLine {
            file: file.to_owned(),
            time: format!("2026/11/20 09:12:0{second}"),
            connection: Some(connection),
            ..LogLine::default()
        };
        let lines = vec![line("a", 1, 5), line("a", 2, 1), line("b", 1, 3), line("b", 1, 9), line("c", 2, 0)];
        let merged: Vec<_> = by_time(lines).into_iter().filter_map(|line| line.connection).collect();
        assert_eq!(merged, [3, 5, 9, 0, 1]);
    }
}
