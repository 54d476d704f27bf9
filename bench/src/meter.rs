//! Time and medians.
use std::time::{Duration, Instant};

/// Time of the processor that this thread had, where the system tells (Linux); else time that passed.
pub struct Stopwatch {
    processor: Option<Duration>,
    wall: Instant,
}
impl Stopwatch {
    /// From now on.
    pub fn start() -> Self {
        Self {
            processor: processor_time(),
            wall: Instant::now(),
        }
    }
    /// Seconds since then; never zero.
    pub fn seconds(&self) -> f64 {
        let passed = self.wall.elapsed();
        let took = match (self.processor, processor_time()) {
            // It moves in ticks of a few milliseconds: of no use for less.
            (Some(start), Some(end)) if passed > Duration::from_millis(100) => {
                end.saturating_sub(start)
            }
            _ => passed,
        };
        took.as_secs_f64().max(1e-9)
    }
}

/// The first number of schedstat: nanoseconds on a processor.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos)).filter(|time| !time.is_zero())
}

/// The middle one; the mean of the middle two. `None` of nothing.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    if figures.len() % 2 == 1 {
        return Some(upper);
    }
    Some((figures.get(middle - 1)? + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let rows: [(&[f64], Option<f64>); 4] = [
            (&[], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0], Some(5.0)),
            (&[100.0, 1.0, 2.0], Some(2.0)),
        ];
        for (figures, middle) in rows {
            assert_eq!(median(figures.to_vec()), middle, "{figures:?}");
        }
    }

    #[test]
    fn work_takes_time() {
        let watch = Stopwatch::start();
        let mut sum = 0u64;
        while watch.wall.elapsed() < Duration::from_millis(150) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let seconds = watch.seconds();
        assert!(seconds > 0.0 && seconds < 10.0, "{seconds}");
    }
}
