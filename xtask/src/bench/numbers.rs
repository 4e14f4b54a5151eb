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

    pub(super) fn json(&self) -> Value {
        json!({ "median": self.median(), "least": self.least(), "most": self.most(), "count": self.values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

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
