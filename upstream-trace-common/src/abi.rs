//! A number by which both sides know that they were built from the same declarations.

/// Fingerprint of the files that declare what crosses. It changes with every edit of them, so that nobody can forget to
/// change it; a kernel side that was built before the edit has to be built again. The kernel side carries it as the
/// symbol `ABI`, and the build of the program compares it when it embeds the object.
pub const ABI: u64 = fingerprint(&[
    include_str!("event.rs"),
    include_str!("flags.rs"),
    include_str!("histogram.rs"),
    include_str!("lib.rs"),
    include_str!("offsets.rs"),
    include_str!("record.rs"),
    include_str!("registers.rs"),
    include_str!("stats.rs"),
    include_str!("step.rs"),
    include_str!("tables.rs"),
]);

/// FNV-1a over all texts.
const fn fingerprint(texts: &[&str]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = BASIS;
    let mut rest = texts;
    while let [text, others @ ..] = rest {
        let mut bytes = text.as_bytes();
        while let [byte, more @ ..] = bytes {
            hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
            bytes = more;
        }
        rest = others;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn every_file_counts() {
        assert_eq!(fingerprint(&["a"]), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint(&["a", "b"]), fingerprint(&["ab"]));
        assert_ne!(fingerprint(&["a", "b"]), fingerprint(&["a", "c"]));
        assert_ne!(fingerprint(&["a", "b"]), fingerprint(&["c", "b"]));
    }
}
