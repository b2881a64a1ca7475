//! What opening says when it cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tensor_kernels::gpu::{Fault, Gpu, OpenError, Options, adapters};

use crate::{options, shared};

#[test]
fn a_number_that_no_adapter_has() {
    if shared().is_some() {
        let error = Gpu::open(99, options()).unwrap_err();
        let OpenError::NoSuchAdapter { number: 99, adapters: listed } = &error else {
            unreachable!("{error}")
        };
        assert_eq!(*listed, adapters().unwrap());
        assert!(error.to_string().contains(&listed[0].name));
    }
}

#[test]
fn a_device_that_fails_a_known_answer_is_never_opened() {
    if shared().is_none() {
        return;
    }
    // Each reading of the tests in turn is spoiled: no part of them is there for show.
    let readings = Arc::new(AtomicUsize::new(0));
    let count = |spoiled: usize| {
        let readings = Arc::clone(&readings);
        readings.store(0, Ordering::Relaxed);
        Gpu::open(
            0,
            Options {
                tamper: Some(Arc::new(move |words| {
                    if readings.fetch_add(1, Ordering::Relaxed) + 1 == spoiled {
                        // The last pair of the list goes, and all counts with it.
                        let rows = words[0].len();
                        if let Some(row) = (4..rows).step_by(3).find(|&row| words[0][row] > 0) {
                            words[0][row] -= 1;
                            words[0][0] -= 1;
                            words[1].remove(0);
                        } else {
                            words[0][1] = 0;
                        }
                    }
                })),
                ..options()
            },
        )
    };
    assert!(count(0).is_ok());
    let all = readings.load(Ordering::Relaxed);
    assert!(all >= 20);
    for spoiled in [1, 2, all / 2, all] {
        let error = count(spoiled).unwrap_err();
        assert!(matches!(error, OpenError::Failed { fault: Fault::Mismatch(_), .. }), "{spoiled}: {error}");
    }
}
