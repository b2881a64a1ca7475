//! What was measured, and the choice that follows from it. Pure: the same table and work give the same choice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::choice::Choice;
use super::work::{Class, Work};
use crate::accelerator::{Link, seconds};

/// How many times as fast the other side has to be before work of a size moves there.
pub(super) const MARGIN: f64 = 1.3;
/// The share of a new run in what is known of a rate.
const SHARE: f64 = 0.2;
/// A single run is not believed to be further off than this many times.
const MOST_OFF: f64 = 4.0;

/// What the figures hold for: any other machine, driver or version has others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "gpu", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Key {
    /// The device.
    pub adapter: String,
    /// Its driver and version.
    pub driver: String,
    /// A hash of the kernels that it runs.
    pub kernels: String,
    /// The CPU's name.
    pub cpu: String,
    /// Its instruction-set level.
    pub isa: String,
    /// Worker threads.
    pub threads: usize,
    /// Version of this crate.
    pub version: String,
}

impl Key {
    /// The first thing in which the two differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let parts = [
            ("adapter", self.adapter != other.adapter),
            ("driver", self.driver != other.driver),
            ("kernels", self.kernels != other.kernels),
            ("CPU", self.cpu != other.cpu),
            ("instruction-set level", self.isa != other.isa),
            ("number of threads", self.threads != other.threads),
            ("version", self.version != other.version),
        ];
        parts.into_iter().find(|(_, differs)| *differs).map(|(part, _)| part)
    }
}

/// The figures of one adapter beside one CPU.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "gpu", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Calibration {
    /// What they hold for.
    pub key: Key,
    /// The way to the device.
    pub link: Link,
    /// Seconds until the device was open and had passed its tests.
    pub open_s: f64,
    /// What was measured of each class so far.
    pub classes: BTreeMap<Class, Rates>,
}

/// How fast both sides are at one class of work.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "gpu", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Rates {
    /// The CPU.
    pub cpu: Line,
    /// The accelerator, without the way there and back.
    pub gpu: Line,
    /// Seconds until the accelerator's kernels were compiled and tested.
    pub compile_s: f64,
    /// Seconds that measuring took.
    pub measured_in_s: f64,
    /// Bit b: work of 2^b units and more, but less than 2^(b + 1), was the accelerator's when it last came.
    pub gpu_sizes: u64,
}

/// Time = `fixed_s` + units / `rate`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "gpu", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Line {
    /// Seconds before the first unit.
    pub fixed_s: f64,
    /// Units a second.
    pub rate: f64,
}

impl Line {
    /// The line through the smallest and the largest of several runs, each of so many units and seconds.
    pub(super) fn through(runs: &[(f64, f64)]) -> Self {
        let (Some(&(few, short)), Some(&(many, long))) = (runs.first(), runs.last()) else {
            return Self { fixed_s: 0.0, rate: 1.0 };
        };
        let rate = match (many - few) / (long - short) {
            rate if rate.is_finite() && rate > 0.0 && long > 1.5 * short => rate,
            // Too close to each other: all of the longest run is work.
            _ => many / long.max(1e-9),
        };
        Self { fixed_s: (short - few / rate).max(0.0), rate }
    }

    fn time(&self, units: f64) -> f64 {
        self.fixed_s + units / self.rate
    }

    /// Moves the rate towards that of a run in which the work took most of the time.
    fn learn(&mut self, units: f64, other_s: f64, took: Duration) {
        let (expected, took) = (units / self.rate, took.as_secs_f64() - other_s - self.fixed_s);
        if expected > self.fixed_s + other_s && took > 0.0 {
            self.rate *= (expected / took).clamp(1.0 / MOST_OFF, MOST_OFF).powf(SHARE);
        }
    }

    fn is_possible(&self) -> bool {
        self.fixed_s.is_finite() && self.fixed_s >= 0.0 && self.rate.is_finite() && self.rate > 0.0
    }
}

impl Calibration {
    /// Who is to do this work: the accelerator where it is expected to be 1.3 times as fast, and where it did work of
    /// this size before, until the CPU is expected to be. `None` for a class that was not measured. `cold` is what comes
    /// first where the device has yet to be opened or its kernels compiled.
    #[must_use]
    pub fn pick(&self, work: &Work, cold: Duration) -> Option<Choice> {
        let rates = self.classes.get(&work.class)?;
        let was_on_gpu = rates.gpu_sizes >> work.size() & 1 == 1;
        let [round_trips, upload, download] = self.link.time(work.round_trips, work.up, work.down);
        let mut choice = Choice {
            class: work.class,
            on_gpu: false,
            was_on_gpu,
            cpu: seconds(rates.cpu.time(work.cpu)),
            cold,
            round_trips,
            upload,
            compute: seconds(rates.gpu.time(work.gpu)),
            download,
        };
        let (cpu, gpu) = (choice.cpu.as_secs_f64(), choice.gpu().as_secs_f64());
        choice.on_gpu = if was_on_gpu { gpu < cpu * MARGIN } else { gpu * MARGIN < cpu };
        Some(choice)
    }

    /// Remembers who did work of this size and how long that took, by an exponentially weighted mean of rates.
    pub fn learn(&mut self, work: &Work, on_gpu: bool, took: Duration) {
        let way: Duration = self.link.time(work.round_trips, work.up, work.down).iter().sum();
        let Some(rates) = self.classes.get_mut(&work.class) else { return };
        let size = 1 << work.size();
        if on_gpu {
            rates.gpu_sizes |= size;
            rates.gpu.learn(work.gpu, way.as_secs_f64(), took);
        } else {
            rates.gpu_sizes &= !size;
            rates.cpu.learn(work.cpu, 0.0, took);
        }
    }

    /// Whether every figure can be one: a file may hold anything.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let times = |times: &[f64]| times.iter().all(|s| s.is_finite() && *s >= 0.0);
        let speeds = [self.link.up, self.link.down].iter().all(|speed| speed.is_finite() && *speed > 0.0);
        let rates = |rates: &Rates| {
            rates.cpu.is_possible()
                && rates.gpu.is_possible()
                && times(&[rates.compile_s, rates.measured_in_s])
        };
        speeds && times(&[self.link.round_trip_s, self.open_s]) && self.classes.values().all(rates)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Round trips of 1 ms, 1 GB/s both ways, a CPU of 1 G units a second beside a GPU of 10.
    pub(crate) fn sample() -> Calibration {
        let text = |text: &str| text.to_owned();
        let rates = Rates {
            cpu: Line { fixed_s: 0.0, rate: 1e9 },
            gpu: Line { fixed_s: 0.0, rate: 1e10 },
            compile_s: 0.3,
            measured_in_s: 0.01,
            gpu_sizes: 0,
        };
        Calibration {
            key: Key {
                adapter: text("a card"),
                driver: text("1"),
                kernels: text("k"),
                cpu: text("a CPU"),
                isa: text("avx2"),
                threads: 2,
                version: text("0"),
            },
            link: Link { round_trip_s: 1e-3, up: 1e9, down: 1e9 },
            open_s: 0.2,
            classes: [(Class::CosineBytes, rates)].into(),
        }
    }

    fn work(units: f64) -> Work {
        let class = Class::CosineBytes;
        Work { class, cpu: units, gpu: units, round_trips: 1.0, up: 0.0, down: 0.0 }
    }

    fn on_gpu(table: &Calibration, units: f64) -> bool {
        table.pick(&work(units), Duration::ZERO).unwrap().on_gpu
    }

    #[test]
    fn small_work_stays_and_large_work_goes() {
        let table = sample();
        // 1 ms + u / 10 G against u / 1 G: they meet at 1.11 M units, with the margin at 1.5 M.
        assert!(!on_gpu(&table, 1.4e6) && on_gpu(&table, 1.6e6));
        // Half a second to open and compile moves that to 0.75 G.
        let cold = |units| table.pick(&work(units), Duration::from_millis(500)).unwrap().on_gpu;
        assert!(!cold(7e8) && cold(8e8));
        assert_eq!(table.pick(&Work { class: Class::KMeans, ..work(1e9) }, Duration::ZERO), None);
    }

    #[test]
    fn a_size_stays_where_it_was_until_the_other_side_is_clearly_faster() {
        let mut table = sample();
        // 1.11 ms against 1.11 ms, and the same size with 1.25 ms against 1.15 ms.
        let (even, size) = (work(1.111e6), work(1.111e6).size());
        assert_eq!(size, work(1.25e6).size());
        assert!(!on_gpu(&table, 1.111e6));
        table.learn(&even, true, Duration::from_micros(1_111));
        assert!(on_gpu(&table, 1.111e6) && on_gpu(&table, 1.25e6));
        table.learn(&even, false, Duration::from_micros(1_111));
        assert!(!on_gpu(&table, 1.111e6));
        // Another size is another memory.
        table.learn(&work(2.2e6), true, Duration::from_micros(1_220));
        assert!(!on_gpu(&table, 1.111e6));
    }

    #[test]
    fn rates_follow_what_runs_took() {
        let mut table = sample();
        for _ in 0..30 {
            table.learn(&work(1e9), true, Duration::from_millis(301));
        }
        let rate = table.classes[&Class::CosineBytes].gpu.rate;
        assert!((rate / (1e9 / 0.3) - 1.0).abs() < 0.01, "{rate}");
        // Nor does a run that was mostly way say anything of it.
        table.learn(&work(1e3), true, Duration::from_secs(1));
        assert_eq!(table.classes[&Class::CosineBytes].gpu.rate, rate);
    }

    #[test]
    fn a_line_separates_what_is_paid_once() {
        let line = Line::through(&[(1e6, 2e-3), (5e6, 6e-3)]);
        assert!((line.rate - 1e9).abs() < 1.0 && (line.fixed_s - 1e-3).abs() < 1e-9, "{line:?}");
        // Runs that took the same say nothing of a rate but that it is no less than this.
        assert_eq!(Line::through(&[(1e6, 1e-3), (4e6, 1e-3)]).rate, 4e9);
        assert!(Line::through(&[]).is_possible() && Line::through(&[(0.0, 0.0)]).rate.is_finite());
    }

    #[test]
    fn keys_name_their_difference_and_figures_that_cannot_be_are_seen() {
        let table = sample();
        assert_eq!(table.key.difference(&table.key), None);
        let other = Key { driver: "2".to_owned(), ..table.key.clone() };
        assert_eq!(table.key.difference(&other), Some("driver"));
        assert!(table.is_possible());
        for spoil in [
            (|table| table.link.up = 0.0) as fn(&mut Calibration),
            |table| table.open_s = f64::NAN,
            |table| table.link.round_trip_s = -1.0,
            |table| table.classes.values_mut().for_each(|rates| rates.cpu.rate = f64::INFINITY),
            |table| table.classes.values_mut().for_each(|rates| rates.gpu.fixed_s = -1.0),
        ] {
            let mut table = sample();
            spoil(&mut table);
            assert!(!table.is_possible(), "{table:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn whatever_is_learnt_stays_possible(
            runs in prop::collection::vec((0.0f64..1e15, any::<bool>(), 0u64..1 << 40), 0..50),
        ) {
            let mut table = sample();
            for (units, on_gpu, nanos) in runs {
                table.learn(&work(units), on_gpu, Duration::from_nanos(nanos));
                prop_assert!(table.is_possible());
                let choice = table.pick(&work(units), Duration::ZERO).unwrap();
                prop_assert_eq!(choice, table.pick(&work(units), Duration::ZERO).unwrap());
            }
        }
    }
}
