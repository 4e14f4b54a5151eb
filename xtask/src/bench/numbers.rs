//! Medians and spread.

use serde_json::{Value, json};

/// Of several measurements the middle one, and how far they lie apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    values: Vec<f64>,
}

impl Spread {
    pub(super) fn add(&mut self, value: f64) {
        let at = self.values.partition_point(|other| *other < value);
        self.values.insert(at, value);
    }

    pub(super) fn median(&self) -> f64 {
        let count = self.values.len();
        match count {
            0 => f64::NAN,
            _ if count.is_multiple_of(2) => f64::midpoint(self.values[count / 2 - 1], self.values[count / 2]),
            _ => self.values[count / 2],
        }
    }

    pub(super) fn least(&self) -> f64 {
        self.values.first().copied().unwrap_or(f64::NAN)
    }

    pub(super) fn most(&self) -> f64 {
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    /// Where the median of all possible measurements lies, with at least 95 % certainty: between two of the measured
    /// ones, whatever their distribution. Of fewer than 6, all that is known is how far they lie apart.
    pub(super) fn interval(&self) -> (f64, f64) {
        let at = outside(self.values.len());
        let of = |index: usize| self.values.get(index).copied().unwrap_or(f64::NAN);
        (of(at), of(self.values.len().saturating_sub(at + 1)))
    }

    pub(super) fn json(&self) -> Value {
        json!({ "median": self.median(), "least": self.least(), "most": self.most(), "count": self.values.len() })
    }
}

/// How many of so many sorted measurements lie outside the interval at each end: the median is below the k-th smallest
/// if fewer than k of them are below it, which follows the binomial distribution.
fn outside(count: usize) -> usize {
    // Probability of exactly `index` of them, then of at most that many.
    let mut exactly = 0.5f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut at_most = exactly;
    let mut index = 0;
    while index < count / 2 {
        exactly *= (count - index) as f64 / (index + 1) as f64;
        if at_most + exactly > 0.025 {
            break;
        }
        at_most += exactly;
        index += 1;
    }
    if at_most > 0.025 { 0 } else { index }
}

#[cfg(test)]
mod tests {
    use super::{Spread, outside};

    #[test]
    fn intervals_as_in_the_tables() {
        // From tables of the binomial distribution: with 10 values the interval is the 2nd to the 9th, with 30 the 10th
        // to the 21st.
        assert_eq!([1, 5, 6, 10, 20, 30].map(outside), [0, 0, 0, 1, 5, 9]);
        let mut spread = Spread::default();
        assert!(spread.interval().0.is_nan());
        (1..=10u8).for_each(|value| spread.add(f64::from(value)));
        assert_eq!(spread.interval(), (2.0, 9.0));
    }

    #[test]
    fn medians() {
        let mut spread = Spread::default();
        assert!(spread.median().is_nan());
        for value in [3.0, 1.0, 2.0] {
            spread.add(value);
        }
        assert_eq!((spread.median(), spread.least(), spread.most()), (2.0, 1.0, 3.0));
        spread.add(10.0);
        assert!((spread.median() - 2.5).abs() < 1e-9);
    }
}
