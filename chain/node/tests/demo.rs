//! The demo from outside: the facts it reproduces, the same answer at every level, a chain that is kept.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The hash of the demo's last block on every machine. README prints it.
const TIP_HASH: &str = "d7c7359af328e40fb3756528ec2b68520c8a48a777108564646830cb9dfca356";

/// Runs a command in a directory with nothing of the caller's environment.
fn tensorchain(dir: &Path, isa: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENSORCHAIN_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).env("TENSORCHAIN_ISA", isa).args(args).output().unwrap()
}

/// What a command that succeeds says.
fn stdout(dir: &Path, isa: &str, args: &[&str]) -> String {
    let output = tensorchain(dir, isa, args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the demo with `--output json`, and splits off what may differ.
fn answer(dir: &Path, isa: &str, args: &[&str]) -> (Value, Value) {
    let text = stdout(dir, isa, &[&["demo", "--output", "json"], args].concat());
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    let fields = answer.as_object_mut().unwrap();
    assert!(fields.remove("timing").unwrap()["total_ms"].as_f64().unwrap() > 0.0);
    let device = fields.remove("device").unwrap();
    (answer, device)
}

#[test]
fn every_level_and_number_of_threads_reproduces_the_facts() {
    let dir = tempfile::tempdir().unwrap();
    let (expected, _) = answer(dir.path(), "scalar", &["--threads", "1"]);
    assert_facts(&expected);
    for isa in tensor_kernels::Isa::available() {
        let (same, device) = answer(dir.path(), isa.name(), &["--threads", "3"]);
        assert_eq!(device["isa"], isa.name());
        assert_eq!(same.to_string(), expected.to_string(), "{isa}");
    }
    let report = std::fs::read_to_string(dir.path().join("tensorchain-report.html")).unwrap();
    assert!(report.contains(TIP_HASH) && report.matches("<svg").count() == 5);
}

fn assert_facts(demo: &Value) {
    let data = &demo["data"];
    assert_eq!((data["days"].as_u64(), data["currencies"].as_u64()), (Some(7_126), Some(41)));
    assert_eq!(demo["chain"]["height"], 7_126);
    assert_eq!(demo["verification"]["blocks"], 7_127);
    assert_eq!(demo["chain"]["tip_hash"], TIP_HASH);

    let conflicts = &demo["conflicts"];
    assert_eq!(conflicts["pairs"], 224_007);
    let share = |class: &str| format!("{:.1}", conflicts[class].as_f64().unwrap() / 2_240.07);
    let shares = ["orthogonal", "low_conflict", "conflicting_by_cosine", "conflicting_by_overlap"].map(share);
    assert_eq!(shares, ["13.4", "41.1", "3.0", "42.5"]);

    let drift = |n: usize| {
        let day = &demo["drift"][n];
        format!(
            "{} {} {:.3}",
            day["date"].as_str().unwrap(),
            day["currency"].as_str().unwrap(),
            day["norm"].as_f64().unwrap()
        )
    };
    let expected =
        ["2001-02-22 TRL 0.521", "2008-11-06 ISK 0.405", "2008-10-08 ISK 0.352", "2021-12-21 TRY 0.309"];
    assert_eq!([0, 1, 2, 3].map(drift), expected);
    assert_eq!([5, 8].map(drift), ["2022-02-28 RUB 0.223", "2015-01-15 CHF 0.171"]);

    let similar =
        |event: usize, n: usize| demo["similar"][event]["days"][n]["date"].as_str().unwrap().to_owned();
    assert_eq!([0, 1, 2, 3].map(|n| similar(0, n)), ["2022-06-16", "2011-07-11", "2011-09-01", "2011-09-02"]);
    assert_eq!([0, 1].map(|n| similar(1, n)), ["2014-12-01", "2014-12-16"]);
    assert_eq!(format!("{:.2}", demo["similar"][0]["days"][0]["cosine"].as_f64().unwrap()), "0.76");
    assert_eq!(demo["codebook"]["entries"], 32);
}

#[test]
fn a_chain_that_is_kept_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let keep = ["--data-dir", "kept"];
    let (first, _) = answer(dir.path(), "", &keep);
    assert_eq!(first["chain"]["origin"], "built");
    let table = stdout(dir.path(), "", &[&["demo"], &keep[..]].concat());
    assert!(table.contains("found in kept") && table.contains(TIP_HASH), "{table}");

    let sweep = stdout(dir.path(), "", &[&["conflicts", "--sweep"], &keep[..]].concat());
    assert_eq!(sweep, include_str!("conflicts.txt"));

    let output = tensorchain(dir.path(), "", &[&["demo", "--threshold", "0.01"], &keep[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another chain"), "{output:?}");
}

#[test]
fn a_report_that_cannot_be_written_fails_before_anything_is_computed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    for report in [".", "..", "file/report.html", "loop"] {
        let output = tensorchain(dir.path(), "", &["demo", "--data-dir", "kept", "--report", report]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains(report), "{report:?}: {stderr}");
        assert!(!dir.path().join("kept").exists(), "{report:?}: nothing was computed");
    }
}

#[cfg(feature = "gpu")]
#[expect(clippy::print_stderr, reason = "test runners show stderr; a skipped check must be loud")]
fn skipped() {
    eprintln!("SKIPPED: this machine has no adapter; nothing was tested on a GPU");
}

/// The chain does not depend on who compared its deltas, and the answer says who did.
#[cfg(feature = "gpu")]
#[test]
fn a_gpu_builds_the_same_chain() {
    let dir = tempfile::tempdir().unwrap();
    let caps = tensorchain(dir.path(), "", &["caps", "--device", "gpu", "--output", "json"]);
    if caps.status.code() == Some(6) && std::env::var_os("REQUIRE_GPU").is_none() {
        assert!(String::from_utf8_lossy(&caps.stderr).contains("no adapter"), "{caps:?}");
        return skipped();
    }
    assert!(caps.status.success(), "{caps:?}");
    let caps: Value = serde_json::from_slice(&caps.stdout).unwrap();
    let adapter = &caps["gpu"]["adapters"][0];
    assert_eq!((adapter["device"].as_str(), adapter["in_use"].as_bool()), (Some("gpu:0"), Some(true)));
    let runs_on = |name: &str| {
        let all = caps["operations"].as_array().unwrap();
        all.iter().find(|operation| operation["name"] == name).unwrap()["runs_on"].clone()
    };
    assert_eq!((runs_on("conflict_matrix"), runs_on("int8")), ("gpu".into(), "simd".into()));

    let (expected, _) = answer(dir.path(), "", &[]);
    let (same, device) = answer(dir.path(), "", &["--device", "gpu"]);
    let gpu = device["gpu"].as_str().unwrap();
    assert!(gpu.contains(adapter["name"].as_str().unwrap()), "{gpu}");
    // All windows but the last are large enough.
    assert!(gpu.contains(" computed 111 of "), "{gpu}");
    assert_eq!(same.to_string(), expected.to_string());

    let absent = tensorchain(dir.path(), "", &["caps", "--device", "gpu:99"]);
    assert_eq!(absent.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("no adapter gpu:99, there are: gpu:0"));
}

/// Who is faster is measured, kept, and measured again where what was kept cannot be used.
#[cfg(feature = "gpu")]
#[test]
fn caps_say_who_is_faster_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let caps = |allowed: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
        command.env("TENSORCHAIN_CACHE", dir.path().join("cache")).env_remove("TENSORCHAIN_ISA");
        command.env("TENSORCHAIN_ALLOW_SOFTWARE_GPU", allowed);
        command.args(["caps", "--output", "json"]).args(args).output().unwrap()
    };
    let json = |output: Output| -> Value {
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let refused = caps("maybe", &[]);
    assert_eq!(refused.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expected 1 or 0"), "{refused:?}");

    // Without a GPU there is nothing to choose, and with one in software that is not allowed there is not either.
    let plain = json(caps("", &[]));
    let no_adapter = plain["gpu"]["reason"].as_str().unwrap().contains("no adapter");
    if no_adapter && std::env::var_os("REQUIRE_GPU").is_none() {
        return skipped();
    }
    assert!(!no_adapter, "{plain}");
    let adapters = plain["gpu"]["adapters"].as_array().unwrap();
    if adapters.iter().all(|adapter| adapter["kind"] == "software") {
        assert_eq!(plain["selection"], Value::Null);
        let reason = adapters[0]["reason"].as_str().unwrap();
        assert!(reason.contains("TENSORCHAIN_ALLOW_SOFTWARE_GPU=1"), "{reason}");
    }

    let measured = json(caps("1", &[]));
    let selection = &measured["selection"];
    let examples = selection["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 21, "{selection}");
    for example in examples {
        let why = example["why"].as_str().unwrap();
        assert!(why.starts_with("cpu: ") || why.starts_with("gpu: "), "{why}");
        assert!(why.contains("round trips") && why.contains("on the CPU"), "{why}");
    }
    let file = Path::new(selection["file"].as_str().unwrap());
    let kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(kept["classes"], selection["figures"]["classes"]);
    let again = json(caps("1", &[]));
    assert_eq!(again["selection"]["figures"]["classes"], kept["classes"], "measured once");

    std::fs::write(file, "{").unwrap();
    let damaged = caps("1", &["-v"]);
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("ignored: EOF"), "{damaged:?}");
    assert_eq!(json(damaged)["selection"]["examples"].as_array().unwrap().len(), 21);
    let foreign = std::fs::read_to_string(file).unwrap().replacen("\"threads\": ", "\"threads\": 1", 1);
    std::fs::write(file, foreign).unwrap();
    let remark = &json(caps("1", &[]))["selection"]["remark"];
    assert_eq!(*remark, "figures of an earlier run are of another number of threads");
}
