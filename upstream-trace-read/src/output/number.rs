//! Numbers as people read them.

use upstream_trace_core::event::Nanos;

/// `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 attempt`, `1,234 attempts`.
#[must_use]
pub fn plural(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `0.3 ms`, `850 ms`, `1.2 s`, `60 s`, `12 min 5 s`, `3 h 7 min`.
#[must_use]
pub fn duration(time: Nanos) -> String {
    let ms = time / 1_000_000;
    let s = ms / 1000;
    match ms {
        0..10 => format!("{:.1} ms", time as f64 / 1e6),
        10..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", s, ms % 1000 / 100),
        10_000..120_000 => format!("{s} s"),
        120_000..3_600_000 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

/// Microseconds as milliseconds, two digits or more: `0.13`, `1.0`, `66`, `1,049`.
#[must_use]
pub fn ms(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    match us {
        0..100 => format!("{ms:.3}"),
        100..1_000 => format!("{ms:.2}"),
        1_000..10_000 => format!("{ms:.1}"),
        _ => count(us.saturating_add(500) / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1234, "1,234"), (123_456, "123,456"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), text);
        }
        assert_eq!(plural(1, "attempt"), "1 attempt");
        assert_eq!(plural(1234, "attempt"), "1,234 attempts");
    }

    #[test]
    fn durations() {
        let cases = [
            (0, "0.0 ms"),
            (7, "7.0 ms"),
            (850, "850 ms"),
            (1_000, "1.0 s"),
            (1_290, "1.2 s"),
            (60_004, "60 s"),
            (125_000, "2 min 5 s"),
            (3_600_000 * 3 + 420_000, "3 h 7 min"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms * 1_000_000), text);
        }
    }

    #[test]
    fn milliseconds() {
        for (us, text) in
            [(1, "0.001"), (64, "0.064"), (128, "0.13"), (1024, "1.0"), (65536, "66"), (1 << 20, "1,049")]
        {
            assert_eq!(ms(us), text);
        }
    }
}
