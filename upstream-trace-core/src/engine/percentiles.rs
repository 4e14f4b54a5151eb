//! Percentiles of histograms with power-of-two buckets.

use crate::verdict::Percentiles;

/// Bucket `i` counts what is below `2^i` microseconds; that bound is what is told. `None` if nothing was counted.
#[must_use]
pub fn percentiles(buckets: &[u64]) -> Option<Percentiles> {
    let total = buckets.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    (total > 0).then(|| Percentiles {
        p50_us: bound(buckets, total, 50),
        p90_us: bound(buckets, total, 90),
        p99_us: bound(buckets, total, 99),
    })
}

fn bound(buckets: &[u64], total: u64, percent: u128) -> u64 {
    // Rank of the value, rounded up: half of three is the second.
    let rank = (u128::from(total) * percent).div_ceil(100);
    let mut counted = 0;
    for (index, count) in buckets.iter().enumerate() {
        counted += u128::from(*count);
        if counted >= rank {
            return 1_u64.checked_shl(index as u32).unwrap_or(u64::MAX);
        }
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_right_buckets() {
        assert_eq!(percentiles(&[0, 0, 0]), None);
        let mut buckets = vec![0; 24];
        (buckets[5], buckets[10], buckets[20]) = (50, 40, 10);
        let found = percentiles(&buckets);
        assert_eq!(found, Some(Percentiles { p50_us: 32, p90_us: 1024, p99_us: 1 << 20 }));
    }
}
