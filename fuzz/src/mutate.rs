//! Changes to bytes, by chance that can be repeated. Far less clever than libFuzzer's, and everywhere at hand.

/// Longest stretch that one change touches.
const STRETCH: usize = 64;

/// Numbers on which code breaks.
const NUMBERS: [u64; 10] =
    [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX.unsigned_abs(), u64::MAX];

/// Chance that can be repeated (xorshift64*).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    #[allow(
        clippy::should_implement_trait,
        reason = "an endless source of numbers is no iterator for callers"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below this one; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit.max(1)
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// A number on which code may break.
    pub fn number(&mut self) -> u64 {
        let number = NUMBERS[self.below(NUMBERS.len())];
        match self.below(4) {
            0 => number.wrapping_sub(1),
            1 => number.wrapping_add(1),
            2 => self.next() >> self.below(64),
            _ => number,
        }
    }
}

/// Changes some bytes, wherever they are.
pub fn bytes(bytes: &mut Vec<u8>, most: usize, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        change(bytes, rng);
    }
    bytes.truncate(most);
}

fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len());
    let end = (at + 1 + rng.below(STRETCH)).min(bytes.len());
    let to = rng.below(bytes.len() + 1);
    match rng.below(6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        1 if at < bytes.len() => bytes[at] = rng.next() as u8,
        2 => {
            let width = 1 << rng.below(4);
            let number = rng.number().to_le_bytes();
            let room = width.min(bytes.len().saturating_sub(at));
            bytes[at..at + room].copy_from_slice(&number[..room]);
        }
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(to..to, copy);
        }
        _ => bytes.insert(to, rng.next() as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_can_be_changed_and_the_length_is_kept_below_the_limit() {
        let mut rng = Rng::new(7);
        for length in [0, 1, 2, 100] {
            let mut different = 0;
            for _ in 0..1000 {
                let mut changed = vec![7; length];
                bytes(&mut changed, 120, &mut rng);
                different += usize::from(changed != vec![7; length]);
                assert!(changed.len() <= 120);
            }
            assert!(different > 500, "{length}");
        }
    }

    #[test]
    fn chance_can_be_repeated() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            [(); 8].map(|()| rng.next())
        };
        assert_eq!(numbers(3), numbers(3));
        assert_ne!(numbers(3), numbers(4));
    }
}
