//! Percentiles of histograms whose buckets grow by powers of two, each divided into equal parts or not.

use crate::verdict::Percentiles;

/// Most parts of a power of two, as a power of two: with more the buckets would be narrower than a microsecond.
const MAX_SUB_BITS: u32 = 16;

/// Percentiles of a histogram; `None` if nothing was counted.
///
/// With `sub_bits` 0, bucket `i` counts what is below `2^i` microseconds. Else each power of two is divided into
/// `2^sub_bits` buckets of one width: buckets below `2^sub_bits` count one microsecond each, and from there on bucket
/// `i` counts what is below `2^e * (2^sub_bits + r + 1)`, where `e` is `(i >> sub_bits) - 1` and `r` the low `sub_bits`
/// of `i`. What is returned is the upper bound of a bucket.
#[must_use]
pub fn percentiles(buckets: &[u64], sub_bits: u32) -> Option<Percentiles> {
    let total = buckets.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let sub_bits = sub_bits.min(MAX_SUB_BITS);
    let of = |percent| bound_of(index_of(buckets, total, percent), sub_bits);
    (total > 0).then(|| Percentiles {
        p50_us: of(50),
        p90_us: of(90),
        p99_us: of(99),
        bound_only: sub_bits == 0,
    })
}

/// The same histogram with buckets that are whole powers of two, for adding it to another of those.
#[must_use]
pub fn to_powers_of_two(buckets: &[u64], sub_bits: u32) -> Vec<u64> {
    let sub_bits = sub_bits.min(MAX_SUB_BITS);
    let mut coarse = Vec::new();
    for (index, count) in buckets.iter().enumerate() {
        let bits =
            bound_of(Some(index), sub_bits).checked_next_power_of_two().map_or(64, u64::trailing_zeros);
        let at = bits as usize;
        coarse.resize(coarse.len().max(at + 1), 0);
        coarse[at] = u64::saturating_add(coarse[at], *count);
    }
    coarse
}

/// The bucket that holds this part of all values; `None` if the counts add up to more than can be.
fn index_of(buckets: &[u64], total: u64, percent: u128) -> Option<usize> {
    // Rank of the value, rounded up: half of three is the second.
    let rank = (u128::from(total) * percent).div_ceil(100);
    let mut counted = 0;
    buckets.iter().position(|count| {
        counted += u128::from(*count);
        counted >= rank
    })
}

/// Upper bound of a bucket, microseconds.
fn bound_of(index: Option<usize>, sub_bits: u32) -> u64 {
    let Some(index) = index.and_then(|index| u64::try_from(index).ok()) else { return u64::MAX };
    if sub_bits == 0 {
        return u32::try_from(index).ok().and_then(|bits| 1_u64.checked_shl(bits)).unwrap_or(u64::MAX);
    }
    let parts = 1_u64 << sub_bits;
    if index < parts {
        return index + 1;
    }
    let exponent = (index >> sub_bits) - 1;
    let mantissa = parts + (index & (parts - 1)) + 1;
    let shift = u32::try_from(exponent).unwrap_or(u32::MAX);
    mantissa.checked_shl(shift).filter(|bound| bound >> shift == mantissa).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_right_buckets() {
        assert_eq!(percentiles(&[0, 0, 0], 0), None);
        let mut buckets = vec![0; 24];
        (buckets[5], buckets[10], buckets[20]) = (50, 40, 10);
        let found = percentiles(&buckets, 0);
        let expected = Percentiles { p50_us: 32, p90_us: 1024, p99_us: 1 << 20, bound_only: true };
        assert_eq!(found, Some(expected));
    }

    /// What the bucket of a value is, as whoever counts computes it.
    fn bucket(us: u64, sub_bits: u32) -> usize {
        let parts = 1 << sub_bits;
        if us < parts {
            return us as usize;
        }
        let exponent = us.ilog2() - sub_bits;
        (((u64::from(exponent) + 1) << sub_bits) + (us >> exponent) - parts) as usize
    }

    #[test]
    fn finer_buckets_give_finer_bounds_without_a_gap() {
        for sub_bits in [1, 2, 3, 4] {
            let mut last = 0;
            for index in 0..40 * (1 << sub_bits) {
                let bound = bound_of(Some(index), sub_bits);
                assert!(bound > last, "{index}");
                assert_eq!((bucket(last, sub_bits), bucket(bound - 1, sub_bits)), (index, index));
                last = bound;
            }
        }
        let mut buckets = vec![0; 400];
        buckets[bucket(16_500, 3)] = 100;
        let found = percentiles(&buckets, 3).expect("some");
        assert!(!found.bound_only && (16_501..=16_500 * 9 / 8).contains(&found.p99_us), "{found:?}");
    }

    #[test]
    fn finer_buckets_can_be_put_together() {
        let fine: Vec<u64> = (0..64).collect();
        let coarse = to_powers_of_two(&fine, 2);
        assert_eq!(coarse.iter().sum::<u64>(), fine.iter().sum::<u64>());
        let (fine, coarse) = (percentiles(&fine, 2).expect("some"), percentiles(&coarse, 0).expect("some"));
        assert_eq!(coarse.p50_us, fine.p50_us.next_power_of_two());
        assert_eq!(to_powers_of_two(&[1, 2, 3], 0), [1, 2, 3]);
    }

    #[test]
    fn no_histogram_is_beyond_arithmetic() {
        let mut buckets = vec![0; 2_000];
        buckets[1_999] = u64::MAX;
        buckets[1_998] = u64::MAX;
        for sub_bits in [0, 1, 5, 16, u32::MAX] {
            assert!(percentiles(&buckets, sub_bits).is_some_and(|found| found.p50_us > 0));
        }
    }
}
