//! When a device is opened and measured, with a device that is the oracle in disguise.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::accelerator::{Accelerator, Link, Opened, Request};
use crate::backend::{Backend, ScalarBackend};
use crate::types::{ConflictList, CosineRows, Thresholds};

/// Has a version of pairs of bytes alone.
#[derive(Debug)]
struct Toy {
    is_there: bool,
    opened: AtomicUsize,
}

impl Accelerator for Toy {
    fn name(&self) -> String {
        "toy".to_owned()
    }

    fn accepts(&self, request: &Request<'_>) -> Result<(), Fallback> {
        match request {
            Request::CosineConflicts(CosineRows::Bytes(_), _) => Ok(()),
            _ => Err(Fallback::NoVersion),
        }
    }

    fn open(&self) -> Result<Opened, Fallback> {
        self.opened.fetch_add(1, Relaxed);
        let link = Link { round_trip_s: 1e-6, up: 1e9, down: 1e9 };
        let [adapter, driver, kernels] = ["toy", "1", "2"].map(str::to_owned);
        if self.is_there { Ok(Opened { adapter, driver, kernels, link }) } else { Err(Fallback::Absent) }
    }

    fn cosine_conflicts(&self, rows: CosineRows<'_>, at: &Thresholds) -> Result<ConflictList, Fallback> {
        Ok(ScalarBackend.cosine_conflicts(rows, at))
    }
}

/// Does something with a selector beside a toy and one thread.
fn beside<T>(is_there: bool, test: impl FnOnce(Both<'_>, &Toy) -> T) -> T {
    let toy = Toy { is_there, opened: AtomicUsize::new(0) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    test(Both { accelerator: &toy, backend: &ScalarBackend, pool: &pool }, &toy)
}

fn not_asked(reason: Fallback) -> Decision {
    Decision { who: Err(reason), choice: None }
}

#[test]
fn a_device_is_opened_and_measured_once_the_cpu_has_spent_as_much() {
    let work = Work::example(Class::CosineBytes, 1_000, 384);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let selector =
        Selector::new("this CPU", None).on_figures(move |figures| keep.lock().unwrap().push(figures.clone()));
    beside(true, |both, toy| {
        for _ in 0..3 {
            assert_eq!(selector.decide(both, &work), not_asked(Fallback::NotReady));
            assert_eq!((toy.opened.load(Relaxed), selector.figures()), (0, None));
            selector.learn(&work, false, OPENING / 3 + Duration::from_millis(1));
        }
        let decision = selector.decide(both, &work);
        let choice = decision.choice.unwrap();
        assert_eq!(decision.who, if choice.on_gpu { Ok(()) } else { Err(Fallback::Slower) });
        assert_eq!(toy.opened.load(Relaxed), 1);
        let figures = selector.figures().unwrap();
        assert!(figures.is_possible() && figures.classes.contains_key(&Class::CosineBytes), "{figures:?}");
        assert_eq!((&*figures.key.cpu, &*figures.key.adapter, figures.key.threads), ("this CPU", "toy", 1));
        assert_eq!(*kept.lock().unwrap(), [figures]);
        assert!(selector.explain(&work).contains("on the CPU"));

        // A class without a version is tried once, and its reason stays.
        let other = Work::example(Class::KMeans, 1_000, 384);
        selector.learn(&other, false, MEASURING);
        for _ in 0..2 {
            assert_eq!(selector.decide(both, &other), not_asked(Fallback::NoVersion));
        }
        // What is learnt later is handed on in the end.
        let expected = choice.cpu;
        selector.learn(&work, false, expected * 2);
        assert_eq!(kept.lock().unwrap().len(), 1);
        drop(selector);
        let kept = kept.lock().unwrap();
        let rate = |figures: &Calibration| figures.classes[&Class::CosineBytes].cpu.rate;
        assert!(kept.len() == 2 && rate(&kept[1]) < rate(&kept[0]), "{kept:?}");
    });
}

#[test]
fn where_there_is_no_device_nobody_looks_twice() {
    let work = Work::example(Class::CosineBytes, 1_000, 384);
    let selector = Selector::new("this CPU", None);
    beside(false, |both, toy| {
        selector.learn(&work, false, OPENING);
        for _ in 0..3 {
            assert_eq!(selector.decide(both, &work), not_asked(Fallback::Absent));
        }
        assert_eq!(selector.measure_all(both), Err(Fallback::Absent));
        assert_eq!(toy.opened.load(Relaxed), 1);
        assert!(selector.explain(&work).contains("no GPU"));
    });
}

#[test]
fn figures_of_an_earlier_process_are_used_cold_and_then_warm() {
    let mut figures = calibration::tests::sample();
    let work = Work { round_trips: 1.0, up: 0.0, down: 0.0, ..Work::example(Class::CosineBytes, 1_000, 384) };
    // 0.19 s against 0.02 s, and half a second until the device is ready.
    let selector = Selector::new("a CPU", Some(figures.clone()));
    beside(true, |both, toy| {
        let decision = selector.decide(both, &work);
        assert_eq!((decision.who, toy.opened.load(Relaxed)), (Err(Fallback::Slower), 0));
        assert_eq!(decision.choice.unwrap().cold, Duration::from_millis(500));
        // After three such runs the device would have been worth it. It is another one, so it is measured.
        for _ in 0..3 {
            selector.learn(&work, false, decision.choice.unwrap().cpu);
        }
        assert!(selector.decide(both, &work).choice.is_some());
        assert_eq!(toy.opened.load(Relaxed), 1);
        assert!(selector.remark().unwrap().contains("adapter"));
        assert_ne!(selector.figures().unwrap().classes, figures.classes);
    });
    // Of this one they would have been kept.
    let threads = 1;
    let [adapter, driver, kernels] = ["toy", "1", "2"].map(str::to_owned);
    let (isa, version) = ("scalar".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    figures.key = Key { adapter, driver, kernels, isa, threads, version, ..figures.key };
    (figures.open_s, figures.classes.get_mut(&Class::CosineBytes).unwrap().compile_s) = (0.0, 0.0);
    let selector = Selector::new("a CPU", Some(figures.clone()));
    beside(true, |both, toy| {
        assert_eq!(selector.decide(both, &work).who, Ok(()));
        assert_eq!((toy.opened.load(Relaxed), selector.remark()), (1, None));
        assert_eq!(selector.figures().unwrap().classes, figures.classes);
    });
}
