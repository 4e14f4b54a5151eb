//! Values with units: times, sizes, percentages.

/// Reads a percentage, with or without its sign.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>().ok();
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| "write a percentage such as 0.5, more than 0 and at most 100".to_owned())
}

/// Reads `64K`, `4M`; a ring buffer is a power of two, and whole pages. Bytes.
pub(super) fn ring_buffer(text: &str) -> Result<u32, String> {
    bytes(text)
        .and_then(|bytes| u32::try_from(bytes).ok())
        .filter(|bytes| bytes.is_power_of_two() && (64 << 10..=256 << 20).contains(bytes))
        .ok_or_else(|| "write a power of two from 64K to 256M".to_owned())
}

/// Reads `500M`, `2G`. Bytes.
pub(super) fn record_limit(text: &str) -> Result<u64, String> {
    bytes(text)
        .filter(|bytes| (1 << 20..=1 << 40).contains(bytes))
        .ok_or_else(|| "write a size such as 500M or 2G, from 1M to 1T".to_owned())
}

/// A number of bytes with a unit of 1,024 of the one before.
fn bytes(text: &str) -> Option<u64> {
    let shift = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
