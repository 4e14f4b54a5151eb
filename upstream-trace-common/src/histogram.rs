//! Buckets of the latency histograms.

/// Buckets of a latency histogram: bucket `i` counts values below `2^i` microseconds, the last one all above.
pub const LATENCY_BUCKETS: usize = 28;

/// The bucket of a latency in nanoseconds, below [`LATENCY_BUCKETS`].
#[must_use]
#[inline(always)]
pub const fn bucket(ns: u64) -> usize {
    const LAST: usize = LATENCY_BUCKETS - 1;
    let mut bucket = 0;
    // Binary search for the bit length, unrolled: BPF has no instruction for leading zeros.
    let mut rest = ns / 1000;
    if rest >> 16 != 0 {
        bucket += 16;
        rest >>= 16;
    }
    if rest >> 8 != 0 {
        bucket += 8;
        rest >>= 8;
    }
    if rest >> 4 != 0 {
        bucket += 4;
        rest >>= 4;
    }
    if rest >> 2 != 0 {
        bucket += 2;
        rest >>= 2;
    }
    if rest >> 1 != 0 {
        bucket += 1;
        rest >>= 1;
    }
    bucket += rest as usize;
    if bucket > LAST { LAST } else { bucket }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_ends_below_a_power_of_two() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(999), 0);
        for index in 1..LATENCY_BUCKETS - 1 {
            let bound = 1_000 << index;
            assert_eq!(bucket(bound / 2), index, "{bound}");
            assert_eq!(bucket(bound - 1), index, "{bound}");
            assert_eq!(bucket(bound), index + 1, "{bound}");
        }
    }

    #[test]
    fn the_last_bucket_takes_all_above() {
        for seconds in [68, 135, 4_294, 4_295, 5_000, 100_000] {
            assert_eq!(bucket(seconds * 1_000_000_000), LATENCY_BUCKETS - 1, "{seconds} s");
        }
        assert_eq!(bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }
}
