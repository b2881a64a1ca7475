//! The accelerator beside a backend: whether it is asked, and what came of that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::accelerator::{Accelerator, Fallback, Request};
use crate::kernels::Kernels;
use crate::run::{BackendKind, Run, RunInfo};
use crate::selector::{Decision, Selector, Work};

/// How often an accelerator was thought of for an operation, by what came of it.
pub(crate) type Asked = BTreeMap<(&'static str, Option<Fallback>), u64>;

/// An accelerator, who decides whether it is asked, and how often it computed, or the CPU in its place.
#[derive(Clone)]
pub(crate) struct Accelerated {
    pub(crate) accelerator: Arc<dyn Accelerator>,
    /// Without one it is asked whatever it costs.
    pub(crate) selector: Option<Arc<Selector>>,
    asked: Arc<Mutex<Asked>>,
}

impl Accelerated {
    pub(crate) fn new(accelerator: Arc<dyn Accelerator>) -> Self {
        Self { accelerator, selector: None, asked: Arc::default() }
    }

    pub(crate) fn asked(&self) -> Asked {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the accelerator may be asked at present.
    pub(crate) fn may_be_asked(&self) -> bool {
        self.selector.as_ref().is_none_or(|selector| selector.is_open())
    }

    /// A number that handles have in common if and only if they share this one.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.asked).addr()
    }

    /// Runs a request on the accelerator, and on the CPU where that is not asked or says why not.
    pub(crate) fn run<T: Send>(
        &self,
        kernels: &Kernels,
        request: &Request<'_>,
        on_device: impl FnOnce(&dyn Accelerator) -> Result<T, Fallback> + Send,
        on_cpu: impl FnOnce() -> Run<T>,
    ) -> Run<T> {
        let start = Instant::now();
        let accelerator = &*self.accelerator;
        let accepted = accelerator.accepts(request);
        let work = accepted.map(|()| Work::of(request));
        let Decision { who, choice } = match (work, &self.selector) {
            (Ok(work), Some(selector)) => selector.decide(kernels.both(accelerator), &work),
            (accepted, _) => Decision { who: accepted.map(drop), choice: None },
        };
        let asked_at = Instant::now();
        let answer = who.and_then(|()| kernels.install(|| on_device(accelerator)));
        let fallback = answer.as_ref().err().copied();
        *self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((request.operation(), fallback))
            .or_default() += 1;
        let (mut run, took) = match answer {
            Ok(value) => {
                let run = kernels.ran(value, start);
                (Run { info: RunInfo { backend: BackendKind::Gpu, ..run.info }, ..run }, asked_at.elapsed())
            }
            Err(_) => {
                let run = on_cpu();
                let took = run.info.elapsed;
                (run, took)
            }
        };
        self.learn(work, fallback.is_none(), took);
        run.info = RunInfo { fallback, choice, elapsed: start.elapsed(), ..run.info };
        run
    }

    fn learn(&self, work: Result<Work, Fallback>, on_gpu: bool, took: Duration) {
        if let (Ok(work), Some(selector)) = (work, &self.selector) {
            selector.learn(&work, on_gpu, took);
        }
    }
}
