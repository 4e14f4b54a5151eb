//! Runs a target under libFuzzer, half of the time with its own changes.

pub use libfuzzer_sys;
use upstream_trace_fuzz::mutate::Rng;
use upstream_trace_fuzz::{Target, target};

/// The target with this name.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn find(name: &str) -> &'static Target {
    target(name).expect("a target of that name")
}

/// Changes the first `size` bytes of `data`; how many there are then.
pub fn change(target: &Target, data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut rng = Rng::new(seed.into());
    if rng.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, most);
    }
    let mut bytes = data[..size].to_vec();
    (target.mutate)(&mut bytes, most, &mut rng);
    data[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}

/// Makes a fuzzer of the target with that name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| ($crate::find($name).run)(data));
        $crate::libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
            $crate::change($crate::find($name), data, size, most, seed)
        });
    };
}
