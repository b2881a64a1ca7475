//! `kill -9` at random moments: no acknowledged write is lost, and the directory always verifies.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Seeded, succeeds, tensorchain};

#[test]
fn killing_puts_at_random_moments_loses_no_acknowledged_write() {
    let mut random = Seeded::new();
    let dir = tempfile::tempdir().unwrap();
    succeeds(tensorchain(dir.path()).args(["put", "warm-up", "0"]));
    // How long an undisturbed put takes decides when to strike; every put that is not struck tells anew.
    let start = Instant::now();
    succeeds(tensorchain(dir.path()).args(["put", "warm-up", "1"]));
    let mut whole = start.elapsed();

    let (mut acknowledged, mut acknowledgements, mut struck) = (Vec::new(), 0, 0);
    for run in 0..100 {
        let (key, value) = (format!("key-{}", run % 10), format!("value-{run}"));
        let mut child = tensorchain(dir.path())
            .args(["put", &key, &value])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every tenth is left alone: the machine may have become slower than all the others are given time for.
        let share = random.below(1_200) as f64 / 1_000.0;
        let strike = if run % 10 == 9 { Duration::MAX } else { whole.mul_f64(share) };
        let born = Instant::now();
        while born.elapsed() < strike && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_some() {
            whole = born.elapsed();
        }
        let _ = child.kill();
        let mut answer = String::new();
        child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
        let status = child.wait().unwrap();
        // A line on stdout is the acknowledgement, whether or not the process lived to exit.
        if answer.ends_with('\n') {
            acknowledged.retain(|(k, _)| *k != key);
            acknowledged.push((key, value));
            acknowledgements += 1;
        }
        struck += u32::from(!status.success());
        succeeds(tensorchain(dir.path()).arg("verify").arg(dir.path()));
    }
    let seed = random.seed;
    // Too few of either would prove little.
    assert!(struck >= 20, "TEST_SEED={seed}: only {struck} of 100 were struck");
    assert!(acknowledgements >= 5, "TEST_SEED={seed}: only {acknowledgements} of 100 were acknowledged");
    for (key, value) in acknowledged {
        let got = succeeds(tensorchain(dir.path()).args(["get", &key])).stdout;
        let (got, run) = (String::from_utf8(got).unwrap(), |text: &str| -> u32 {
            text.trim().trim_start_matches("value-").parse().unwrap()
        });
        // A later put of the key may have become durable without living to say so; never an earlier one.
        assert!(run(&got) >= run(&value), "TEST_SEED={seed}: {key} was acknowledged as {value}, is {got}");
    }
}
