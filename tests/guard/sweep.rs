//! Lengths, places and levels, and what is done with each.
//!
//! By default a sample: every length to 130, then those around multiples of 64, at both ends of a page
//! and one further distance each. `GUARD_FULL=1` takes every length to 1,100 at every distance. After a
//! fault, `GUARD_TRACE=1` with `--nocapture --test-threads 1` names the case that did not come back.

use std::fmt::Debug;

use tensor_kernels::Kernels;
use tensor_tests::every_backend;

use crate::memory::Place;

/// The greatest length.
pub const LONGEST: usize = 1_100;
/// The greatest number of rows where every pair of rows is compared.
pub const MOST_ROWS: usize = 130;

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// Runs an operation at every level on inputs and outputs in every place; each answer must be that of the
/// oracle on ordinary memory. `element` is the size of what the slices hold, in bytes.
pub fn sweep<T: PartialEq + Debug>(
    name: &str,
    longest: usize,
    element: usize,
    operation: impl Fn(&Kernels, usize, Place) -> T,
) {
    let backends = every_backend().unwrap();
    let (full, trace) = (is_set("GUARD_FULL"), is_set("GUARD_TRACE"));
    let mut runs = 0u64;
    for length in lengths(longest, full) {
        let expected = operation(&backends[0], length, Place::Ordinary);
        for place in places(length, element, full) {
            // Threads divide the same fixed blocks among them; one thread sees every block.
            for kernels in backends.iter().filter(|kernels| kernels.threads() == 1) {
                if trace {
                    tell(&format!("{name}, length {length}, {place:?}, {kernels:?}"));
                }
                let got = operation(kernels, length, place);
                assert!(
                    got == expected,
                    "{name}, length {length}, {place:?}, {kernels:?}: {got:?} ≠ {expected:?}"
                );
                runs += 1;
            }
        }
    }
    tell(&format!("{name}: {runs} runs"));
}

fn lengths(longest: usize, full: bool) -> impl Iterator<Item = usize> {
    (0..=longest).filter(move |&length| full || length <= 130 || (length + 1) % 64 < 3 || length == LONGEST)
}

fn places(length: usize, element: usize, full: bool) -> Vec<Place> {
    let mut distances: Vec<usize> = (0..64).step_by(element.min(64)).collect();
    if !full {
        // One more distance, another for each length.
        let one = distances[length * 7 % distances.len()];
        distances = if one == 0 { vec![0] } else { vec![0, one] };
    }
    distances.into_iter().flat_map(|d| [Place::Before(d), Place::Behind(d)]).collect()
}

#[expect(clippy::print_stderr, reason = "what a sweep covered is part of its result")]
fn tell(line: &str) {
    eprintln!("{line}");
}
