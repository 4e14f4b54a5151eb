//! Small pictures of one number over time: bars of counts, and steps of latencies.

use std::fmt::Write;

use super::bars::tenth;

/// Units of a small picture.
pub(super) const WIDTH: f64 = 300.0;
pub(super) const HEIGHT: f64 = 60.0;

/// Bars of `counts`, `None` where there are none; the path of all of them.
pub(super) fn bars(counts: &[u64], highest: u64) -> String {
    let step = WIDTH / counts.len().max(1) as f64;
    let mut path = String::new();
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (*count as f64 / highest.max(1) as f64 * HEIGHT).max(1.0);
        let (x, width) = (tenth(index as f64 * step), tenth((step * 0.9).max(0.8)));
        let _ = write!(path, "M{x} {HEIGHT}v{}h{width}V{HEIGHT}z", tenth(-height));
    }
    path
}

/// Steps of latencies in microseconds, on a scale on which each doubling is as high as the last: that is how they are
/// counted. Where nothing was measured there is a gap.
pub(super) fn steps(latencies: &[Option<u64>], (lowest, highest): (u64, u64)) -> String {
    let step = WIDTH / latencies.len().max(1) as f64;
    let scale = |latency: u64| (latency.max(1) as f64).log2();
    let range = (scale(highest) - scale(lowest)).max(1.0);
    let mut path = String::new();
    let mut drawn = false;
    for (index, latency) in latencies.iter().enumerate() {
        let Some(latency) = latency else {
            drawn = false;
            continue;
        };
        // A margin, so that the line is seen whole.
        let y = tenth(HEIGHT - 4.0 - (scale(*latency) - scale(lowest)) / range * (HEIGHT - 8.0));
        let (from, to) = (tenth(index as f64 * step), tenth((index + 1) as f64 * step));
        let _ = if drawn { write!(path, "V{y}H{to}") } else { write!(path, "M{from} {y}H{to}") };
        drawn = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_drawn() {
        assert_eq!(bars(&[0, 2, 0, 1], 2), "M75 60v-60h67.5V60zM225 60v-30h67.5V60z");
        assert_eq!(steps(&[Some(64), None, Some(128), Some(64)], (64, 128)), "M0 56H75M150 4H225V56H300");
        assert_eq!(steps(&[], (1, 1)), "");
    }
}
