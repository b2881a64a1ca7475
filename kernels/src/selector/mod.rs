//! Who computes, the CPU or the accelerator beside it: measured, remembered and explained.
//!
//! [`Calibration`] holds the figures and [picks](Calibration::pick) by them alone. [`Selector`] decides when figures are
//! worth their price: opening a device and compiling kernels take longer than most programs run. So a device is opened
//! once the CPU has spent as much time on what a device might do as opening one takes, and a class of work is measured
//! once it has taken as much time as measuring does. Nobody waits much longer than with the better choice from
//! the start (the ski-rental rule, Karlin et al. 1988), and who does little never pays at all.
//!
//! | file | what it holds |
//! |---|---|
//! | `work.rs` | how much there is to do, from the shape of a request |
//! | `calibration.rs`, `choice.rs` | the figures, and the choice that follows from them |
//! | `measure.rs` | how figures are made |

mod calibration;
mod choice;
mod measure;
#[cfg(test)]
mod tests;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use calibration::{Calibration, Key, Line, Rates};
pub use choice::Choice;
pub(crate) use measure::Both;
pub use work::{Class, Work};

use crate::accelerator::Fallback;

/// CPU time for which it is worth looking whether there is a device: about what opening one takes.
const OPENING: Duration = Duration::from_millis(250);
/// CPU time in one class for which it is worth measuring: about what compiling and measuring take.
const MEASURING: Duration = Duration::from_millis(100);

/// Decides who computes. [`Kernels::with_selector`](crate::Kernels::with_selector) asks it for every request that the
/// accelerator accepts.
pub struct Selector {
    cpu: String,
    on_figures: Option<Box<OnFigures>>,
    state: Mutex<State>,
}

/// Called with figures to persist.
type OnFigures = dyn Fn(&Calibration) + Send + Sync;

#[derive(Debug, Default)]
struct State {
    /// An earlier process's until the device is open.
    figures: Option<Calibration>,
    device: Device,
    /// Why figures of an earlier process are not used.
    remark: Option<String>,
    /// What a device would have saved so far.
    missed: BTreeMap<Class, Duration>,
    /// Classes whose kernels are compiled.
    warm: BTreeSet<Class>,
    /// Classes that are being measured.
    measuring: BTreeSet<Class>,
    /// Classes that could not be measured, and why.
    failed: BTreeMap<Class, Fallback>,
    /// Whether there are figures that nobody was given.
    has_news: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Device {
    #[default]
    Closed,
    Opening,
    Open,
    Absent,
}

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    /// Whether the accelerator is asked, or why not.
    pub(crate) who: Result<(), Fallback>,
    /// What is expected of both, where that is known.
    pub(crate) choice: Option<Choice>,
}

enum Step {
    Decided(Decision),
    Open,
    Measure(Class),
}

impl Selector {
    /// Begins with the figures of an earlier process, which are used if they hold for the device that will be opened.
    /// `cpu` names the CPU.
    #[must_use]
    pub fn new(cpu: impl Into<String>, figures: Option<Calibration>) -> Self {
        let state = State { figures, ..State::default() };
        Self { cpu: cpu.into(), on_figures: None, state: Mutex::new(state) }
    }

    /// Hands figures on whenever some were measured, and what was learnt since when the selector goes.
    #[must_use]
    pub fn on_figures(mut self, keep: impl Fn(&Calibration) + Send + Sync + 'static) -> Self {
        self.on_figures = Some(Box::new(keep));
        self
    }

    /// The present figures.
    #[must_use]
    pub fn figures(&self) -> Option<Calibration> {
        self.state().figures.clone()
    }

    /// Why figures of an earlier process are not used, if there were any.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        self.state().remark.clone()
    }

    /// Whether the device is open.
    pub(crate) fn is_open(&self) -> bool {
        self.state().device == Device::Open
    }

    /// Who would do this work now, and why, in plain words.
    #[must_use]
    pub fn explain(&self, work: &Work) -> String {
        let state = self.state();
        match state.step(work) {
            Step::Decided(Decision { choice: Some(choice), .. }) => choice.to_string(),
            Step::Decided(Decision { who: Err(reason), .. }) => format!("cpu: {}", reason.in_words()),
            Step::Decided(Decision { who: Ok(()), .. }) => "gpu".to_owned(),
            Step::Open | Step::Measure(_) => "cpu or gpu: measured when it is next asked for".to_owned(),
        }
    }

    /// Opens the device and measures whatever was not measured before.
    pub(crate) fn measure_all(&self, both: Both<'_>) -> Result<(), Fallback> {
        let device = self.state().device;
        match device {
            Device::Closed => self.open(both),
            Device::Opening => return Err(Fallback::NotReady),
            Device::Open | Device::Absent => {}
        }
        if self.state().device == Device::Absent {
            return Err(Fallback::Absent);
        }
        for class in Class::ALL {
            let is_known = self.state().knows(class);
            if !is_known {
                self.measure(both, class);
            }
        }
        Ok(())
    }

    /// Whether the accelerator is to be asked.
    pub(crate) fn decide(&self, both: Both<'_>, work: &Work) -> Decision {
        loop {
            let step = self.state().step(work);
            match step {
                Step::Decided(decision) => return decision,
                Step::Open => self.open(both),
                Step::Measure(class) => self.measure(both, class),
            }
        }
    }

    /// Notes what a request took.
    pub(crate) fn learn(&self, work: &Work, on_gpu: bool, took: Duration) {
        let mut state = self.state();
        let state = &mut *state;
        let expected = state.figures.as_ref().and_then(|figures| figures.pick(work, Duration::ZERO));
        let is_warm = state.warm.contains(&work.class);
        if !on_gpu && !is_warm && state.device != Device::Absent {
            // Without figures, everything: a device might take no time.
            let saved = took.saturating_sub(expected.map_or(Duration::ZERO, |choice| choice.gpu()));
            *state.missed.entry(work.class).or_default() += saved;
        }
        // Before the device is open the figures may be those of another; a run that compiled says nothing of the next.
        if let Some(figures) = &mut state.figures
            && state.device == Device::Open
            && figures.classes.contains_key(&work.class)
            && (is_warm || !on_gpu)
        {
            figures.learn(work, on_gpu, took);
            state.has_news = true;
        }
        if on_gpu {
            state.warm.insert(work.class);
        }
    }

    /// Opens the device. Others compute on the CPU meanwhile.
    fn open(&self, both: Both<'_>) {
        {
            let mut state = self.state();
            if state.device != Device::Closed {
                return;
            }
            state.device = Device::Opening;
        }
        let start = Instant::now();
        let opened = both.pool.install(|| both.accelerator.open());
        let mut state = self.state();
        let Ok(opened) = opened else {
            state.device = Device::Absent;
            return;
        };
        let key = Key {
            adapter: opened.adapter,
            driver: opened.driver,
            kernels: opened.kernels,
            cpu: self.cpu.clone(),
            isa: both.backend.isa().to_string(),
            threads: both.pool.current_num_threads(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        state.device = Device::Open;
        let (link, open_s) = (opened.link, start.elapsed().as_secs_f64());
        let earlier = state.figures.take();
        let difference = earlier.as_ref().and_then(|earlier| key.difference(&earlier.key));
        state.remark = difference.map(|part| format!("figures of an earlier run are of another {part}"));
        let kept = earlier.filter(|_| difference.is_none());
        let classes = kept.map(|kept| kept.classes).unwrap_or_default();
        state.figures = Some(Calibration { key, link, open_s, classes });
    }

    /// Measures a class. Others compute it on the CPU meanwhile.
    fn measure(&self, both: Both<'_>, class: Class) {
        let link = {
            let mut state = self.state();
            let link = state.figures.as_ref().map(|figures| figures.link);
            let (Some(link), true) = (link, state.measuring.insert(class)) else { return };
            link
        };
        let measured = measure::measure(both, &link, class);
        let mut state = self.state();
        state.measuring.remove(&class);
        match measured {
            Ok(rates) => {
                state.warm.insert(class);
                state.has_news = true;
                if let Some(figures) = &mut state.figures {
                    figures.classes.insert(class, rates);
                }
            }
            Err(reason) => _ = state.failed.insert(class, reason),
        }
        drop(state);
        self.hand_on();
    }

    fn hand_on(&self) {
        let mut state = self.state();
        let figures = if std::mem::take(&mut state.has_news) { state.figures.clone() } else { None };
        drop(state);
        if let (Some(keep), Some(figures)) = (&self.on_figures, figures) {
            keep(&figures);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn knows(&self, class: Class) -> bool {
        let is_measured = self.figures.as_ref().is_some_and(|figures| figures.classes.contains_key(&class));
        is_measured || self.failed.contains_key(&class)
    }

    /// What opening and compiling still have to be worth.
    fn cold(&self, figures: &Calibration, class: Class) -> Duration {
        if self.warm.contains(&class) {
            return Duration::ZERO;
        }
        let compile = figures.classes.get(&class).map_or(0.0, |rates| rates.compile_s);
        let open = if self.device == Device::Open { 0.0 } else { figures.open_s };
        let missed = self.missed.get(&class).copied().unwrap_or_default();
        crate::accelerator::seconds(open + compile).saturating_sub(missed)
    }

    fn step(&self, work: &Work) -> Step {
        let class = work.class;
        let cpu = |reason| Step::Decided(Decision { who: Err(reason), choice: None });
        match self.device {
            Device::Absent => return cpu(Fallback::Absent),
            Device::Opening => return cpu(Fallback::NotReady),
            Device::Closed | Device::Open => {}
        }
        if let Some(&reason) = self.failed.get(&class) {
            return cpu(reason);
        }
        let picked = self.figures.as_ref().and_then(|figures| figures.pick(work, self.cold(figures, class)));
        let missed = self.missed.get(&class).copied().unwrap_or_default();
        let missed_in_all: Duration = self.missed.values().sum();
        match (picked, self.device) {
            (Some(choice), Device::Closed) if choice.on_gpu => Step::Open,
            (Some(choice), _) => {
                let who = if choice.on_gpu { Ok(()) } else { Err(Fallback::Slower) };
                Step::Decided(Decision { who, choice: Some(choice) })
            }
            (None, Device::Closed) if missed_in_all >= OPENING => Step::Open,
            (None, Device::Open) if missed >= MEASURING && !self.measuring.contains(&class) => {
                Step::Measure(class)
            }
            (None, _) => cpu(Fallback::NotReady),
        }
    }
}

impl Drop for Selector {
    fn drop(&mut self) {
        self.hand_on();
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector")
            .field("cpu", &self.cpu)
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}
