//! A choice, with everything that it follows from.

use std::fmt;
use std::time::Duration;

use super::calibration::MARGIN;
use super::work::Class;

/// Who is to do a piece of work, and what is expected of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// What kind of work.
    pub class: Class,
    /// Whether it is the accelerator's.
    pub on_gpu: bool,
    /// Whether work of this size was the accelerator's before.
    pub was_on_gpu: bool,
    /// The CPU's time.
    pub cpu: Duration,
    /// The accelerator's: opening and compiling, where that is still to be done.
    pub cold: Duration,
    /// Its submissions without work.
    pub round_trips: Duration,
    /// Sending the input.
    pub upload: Duration,
    /// Computing, and what the CPU does before and after.
    pub compute: Duration,
    /// Reading the output.
    pub download: Duration,
}

impl Choice {
    /// The accelerator's time, all of it.
    #[must_use]
    pub fn gpu(&self) -> Duration {
        let parts = [self.cold, self.round_trips, self.upload, self.compute, self.download];
        parts.into_iter().fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// Why, in plain words.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { on_gpu, was_on_gpu, cpu, cold, round_trips, upload, compute, download, .. } = self;
        let who = if *on_gpu { "gpu" } else { "cpu" };
        write!(f, "{who}: expected {:.3?} on the GPU (", self.gpu())?;
        if !cold.is_zero() {
            write!(f, "opening {cold:.3?}, ")?;
        }
        write!(f, "round trips {round_trips:.3?}, upload {upload:.3?}, computing {compute:.3?}, ")?;
        write!(f, "download {download:.3?}) and {cpu:.3?} on the CPU")?;
        let (cpu, gpu) = (*cpu, self.gpu());
        match (on_gpu, was_on_gpu) {
            (true, true) if cpu < gpu => write!(f, "; it stays until the CPU is {MARGIN} times as fast"),
            (false, false) if gpu < cpu => write!(f, "; it stays until the GPU is {MARGIN} times as fast"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::calibration::tests::sample;
    use crate::selector::work::Work;

    #[test]
    fn the_explanation_names_every_part() {
        let table = sample();
        let work = |units: f64| {
            let class = Class::CosineBytes;
            Work { class, cpu: units, gpu: units, round_trips: 1.0, up: 0.0, down: 0.0 }
        };
        let choice =
            table.pick(&Work { up: 2e6, down: 1e6, ..work(1e9) }, Duration::from_millis(500)).unwrap();
        assert_eq!(
            choice.to_string(),
            "gpu: expected 604.000ms on the GPU (opening 500.000ms, round trips 1.000ms, upload 2.000ms, \
             computing 100.000ms, download 1.000ms) and 1.000s on the CPU"
        );
        let stays = table.pick(&work(1.2e6), Duration::ZERO).unwrap().to_string();
        assert!(
            stays.starts_with("cpu: ") && stays.ends_with("until the GPU is 1.3 times as fast"),
            "{stays}"
        );
    }
}
