//! Who computes on a real device: forced, measured, and by figures that say one side or the other.

use std::sync::{Arc, Mutex};

use tensor_kernels::gpu::{LazyGpu, OpenError, adapters};
use tensor_kernels::{
    BackendKind, ByteView, Calibration, Class, Fallback, Isa, Kernels, Run, Selector, Threads, Thresholds,
};

use crate::rows::bytes;
use crate::{options, panicked, shared};

/// Kernels that ask a software device too, but only where it is faster; and the figures that were handed on.
fn automatic(figures: Option<Calibration>) -> (Kernels, Arc<Mutex<Vec<Calibration>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let selector = Selector::new("this CPU", figures)
        .on_figures(move |figures| keep.lock().unwrap().push(figures.clone()));
    let kernels = Kernels::new(Isa::best(), Threads::from_count(2)).unwrap();
    (kernels.with_accelerator(Arc::new(LazyGpu::new(options(), true))).with_selector(selector), kept)
}

fn ask(kernels: &Kernels) -> Run<usize> {
    let codes = bytes(300, 64, 3);
    let run = kernels.cosine_conflicts(ByteView::new(&codes, 300, 64).unwrap(), &Thresholds::default());
    Run { value: run.value.pairs().len(), info: run.info }
}

#[test]
fn nothing_is_opened_for_little_work_and_everything_measured_on_demand() {
    if shared().is_none() {
        return;
    }
    let (kernels, kept) = automatic(None);
    let expected = ask(&kernels);
    assert_eq!(expected.info.fallback, Some(Fallback::NotReady));
    assert!(kernels.accelerator().unwrap().name().contains("not worth it so far"));

    kernels.calibrate().unwrap();
    let figures = kernels.selector().unwrap().figures().unwrap();
    assert!(figures.is_possible(), "{figures:?}");
    assert_eq!(figures.classes.keys().copied().collect::<Vec<_>>(), Class::ALL);
    assert_eq!((figures.key.cpu.as_str(), figures.key.threads), ("this CPU", 2));
    assert_eq!(kept.lock().unwrap().last(), Some(&figures));

    // Whoever it is, the run says so, and what was expected.
    let run = ask(&kernels);
    let choice = run.info.choice.unwrap();
    assert_eq!(run.value, expected.value);
    assert_eq!(choice.on_gpu, run.info.backend == BackendKind::Gpu);
    assert_eq!(run.info.fallback, (!choice.on_gpu).then_some(Fallback::Slower));
    assert!(run.info.to_string().contains("expected"), "{}", run.info);
}

#[test]
fn figures_decide_if_they_are_of_this_device() {
    if shared().is_none() {
        return;
    }
    let (kernels, _) = automatic(None);
    kernels.calibrate().unwrap();
    let measured = kernels.selector().unwrap().figures().unwrap();
    let with_cpu_rate = |rate: f64| {
        let mut figures = measured.clone();
        figures.open_s = 0.0;
        for rates in figures.classes.values_mut() {
            (rates.cpu.rate, rates.cpu.fixed_s, rates.compile_s) = (rate, 0.0, 0.0);
        }
        figures
    };
    // A CPU that would take hours: the device is opened at once and asked.
    let (slow, _) = automatic(Some(with_cpu_rate(1.0)));
    let run = ask(&slow);
    assert_eq!((run.info.backend, run.info.fallback), (BackendKind::Gpu, None));
    assert!(run.info.choice.unwrap().on_gpu);
    // One that takes no time: nothing is opened.
    let (fast, _) = automatic(Some(with_cpu_rate(1e30)));
    assert_eq!(ask(&fast).info.fallback, Some(Fallback::Slower));
    assert!(fast.accelerator().unwrap().name().contains("not worth it so far"));
    // The figures of another device are dropped once this one is open, and why is told.
    let mut foreign = with_cpu_rate(1.0);
    foreign.key.driver = "another".to_owned();
    let (kernels, _) = automatic(Some(foreign));
    assert_eq!(ask(&kernels).info.fallback, Some(Fallback::NotReady));
    let selector = kernels.selector().unwrap();
    assert!(selector.remark().unwrap().contains("driver"));
    assert!(selector.figures().unwrap().classes.is_empty());
}

#[test]
fn software_is_not_used_unless_allowed() {
    if shared().is_none() {
        return;
    }
    let adapters = adapters().unwrap_or_else(|error| panicked(&error));
    if adapters.iter().any(|adapter| adapter.kind != tensor_kernels::gpu::AdapterKind::Software) {
        return;
    }
    let lazy = Arc::new(LazyGpu::new(options(), false));
    let kernels = Kernels::new(Isa::best(), Threads::from_count(2)).unwrap();
    let kernels = kernels.with_accelerator(Arc::clone(&lazy) as _).with_selector(Selector::new("", None));
    assert_eq!(kernels.calibrate(), Err(Fallback::Absent));
    assert!(matches!(lazy.opened(), Some(Err(OpenError::OnlySoftware { .. }))));
    assert_eq!(ask(&kernels).info.fallback, Some(Fallback::Absent));
}
