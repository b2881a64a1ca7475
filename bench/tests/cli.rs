//! The binary as a user meets it: what it refuses, what it leaves behind, what its exit codes say.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use tensor_bench::record::Record;
use tensor_datasets::Sha256;
use tensor_datasets::files::write_npy;
use tensor_kernels::DenseView;

/// One small case on the oracle alone: milliseconds.
const SMALL: [&str; 11] = [
    "kernels",
    "--quick",
    "--seconds",
    "0",
    "--runs",
    "1",
    "--isa",
    "scalar",
    "--threads",
    "1",
    "--filter=sparse_pair",
];

fn bench(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tensor-bench"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("TENSORCHAIN_ISA")
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn wrong_flags_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, value) in [
        ("--dim", "0"),
        ("--dim", "128,x"),
        ("--density", "1.5"),
        ("--density", "NaN"),
        ("--threads", "0"),
        ("--isa", "sse9"),
        ("--seconds", "-1"),
        ("--seconds", "inf"),
        ("--save", "../elsewhere"),
        ("--device", "gpu:x"),
        ("--fail-on-regression", "5"),
        ("--runs", "0"),
    ] {
        let output = bench(folder.path(), &["kernels", &format!("{flag}={value}")]);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}");
        assert!(stderr(&output).contains(flag), "{flag} {value}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(bench(folder.path(), &["conquer"]).status.code(), Some(2));
}

#[expect(clippy::print_stderr, reason = "test runners show stderr; a skipped check must be loud")]
fn skipped() {
    eprintln!("SKIPPED: this machine has no adapter; nothing was measured on a GPU");
}

#[test]
fn a_gpu_is_measured_where_the_build_and_the_command_have_one() {
    let folder = tempfile::tempdir().unwrap();
    if !cfg!(feature = "gpu") {
        let output = bench(folder.path(), &["kernels", "--device", "gpu"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("this build has no GPU backend"), "{}", stderr(&output));
        return;
    }
    let output = bench(folder.path(), &["int8", "--quick", "--device", "gpu"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("goes with kernels and search"), "{}", stderr(&output));
    let absent = bench(folder.path(), &["kernels", "--quick", "--device", "gpu:99"]);
    assert_eq!(absent.status.code(), Some(1));
    let no_adapter = stderr(&absent).contains("no adapter:");
    assert!(no_adapter || stderr(&absent).contains("no adapter gpu:99"), "{}", stderr(&absent));
    // Nothing to measure on: passed over only where no GPU is required.
    if no_adapter && std::env::var_os("REQUIRE_GPU").is_none() {
        return skipped();
    }

    let flags = ["--quick", "--seconds", "0", "--runs", "1", "--threads", "1", "--device", "gpu"];
    let sizes = ["--n", "200", "--dim", "64", "--output", "json"];
    let run = |command: &str| {
        let output = bench(folder.path(), &[&[command], &flags[..], &sizes[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let record: Record = serde_json::from_slice(&output.stdout).unwrap();
        let by_gpu = record.cases.iter().filter(|case| case.isa == "gpu");
        let by_gpu: Vec<_> = by_gpu.inspect(|case| assert!(case.exact && case.note.is_some())).collect();
        assert!(by_gpu.len() < record.cases.len(), "nothing beside it");
        by_gpu.iter().map(|case| case.workload.clone()).collect::<BTreeSet<_>>()
    };
    let operations = ["all_pairs", "conflict_matrix", "cosine_classes", "kmeans", "search"];
    assert!(run("kernels").iter().eq(operations.iter()));
    assert!(run("search").iter().eq(["search"].iter()));
}

#[test]
fn missing_and_foreign_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("foreign.json"), "{\"format\": 1}").unwrap();
    std::fs::write(folder.path().join("text.json"), "hello").unwrap();
    for (arguments, says) in [
        (vec!["report", "absent.json"], "absent.json"),
        (vec!["report", "foreign.json"], "layout 1"),
        (vec!["report", "text.json"], "not a record"),
        ([&SMALL[..], &["--compare", "absent"]].concat(), "absent.json"),
    ] {
        let output = bench(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_cluster_without_its_program_is_a_failure_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        bench(folder.path(), &["cluster", "--quick", "--node", "no-such-program", "--filter", "1 client"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot start no-such-program"), "{}", stderr(&output));
    assert_eq!(bench(folder.path(), &["cluster", "--clients", "0"]).status.code(), Some(2));
}

#[test]
fn a_filter_that_fits_nothing_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let output = bench(folder.path(), &["search", "--quick", "--filter", "w99"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("w99"));
}

#[test]
fn json_on_stdout_is_the_record_and_files_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--output", "json", "--json", "a/run.json", "--csv", "run.csv"];
    let output = bench(folder.path(), &[&SMALL[..], &flags].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let printed: Record = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(Record::read(&folder.path().join("a/run.json")).unwrap(), printed);
    assert_eq!(printed.cases.len(), 1);
    let csv = std::fs::read_to_string(folder.path().join("run.csv")).unwrap();
    assert_eq!(csv.lines().count(), 2);

    let output = bench(folder.path(), &["report", "a/run.json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = std::fs::read_to_string(folder.path().join("a/run.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
}

#[test]
fn data_of_ones_own_are_named_with_their_hash() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<f32> = (0..300u16 * 8).map(|n| f32::from(n % 97)).collect();
    let mut file = std::fs::File::create(folder.path().join("mine.npy")).unwrap();
    write_npy(&mut file, DenseView::new(&values, 300, 8).unwrap()).unwrap();
    let flags = ["--data", "mine.npy", "--quick", "--seconds", "0", "--runs", "1", "--threads", "1"];
    for command in ["search", "dense", "kmeans", "int8"] {
        let output = bench(folder.path(), &[&[command, "--output", "json"], &flags[..]].concat());
        assert!(output.status.success(), "{command}: {}", stderr(&output));
        let record: Record = serde_json::from_slice(&output.stdout).unwrap();
        let hash = Sha256::of_file(&folder.path().join("mine.npy")).unwrap().to_string();
        assert_eq!(record.environment.data.get("mine.npy"), Some(&hash));
        assert!(record.cases.iter().all(|case| case.variant.ends_with(", mine.npy")), "{command}");
    }
    for (command, says) in
        [("sparse", "dense rows"), ("chain", "--data goes with"), ("kernels", "--data goes")]
    {
        let output = bench(folder.path(), &[&[command], &flags[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains(says), "{command}: {}", stderr(&output));
    }
}

#[test]
fn every_named_workload_runs_and_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["all", "--quick", "--seconds", "0", "--runs", "1", "--threads", "1", "--save", "all"];
    let output = bench(folder.path(), &flags);
    assert!(output.status.success(), "{}", stderr(&output));
    let path = folder.path().join("target/tensor-bench/all.json");
    let record = Record::read(&path).unwrap();
    for name in ["limits", "w1", "w2", "w3", "w3i", "w4a", "w4b", "w4c", "w5", "w6", "w7", "w8", "w9"] {
        assert!(record.cases.iter().any(|case| case.workload == name), "{name}");
    }
    assert!(bench(folder.path(), &["report", &path.to_string_lossy()]).status.success());
}

#[test]
fn every_operation_of_the_catalogue_is_measured_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--quick", "--seconds", "0", "--runs", "1", "--isa", "scalar", "--threads", "1"];
    let sizes = ["--n", "100", "--dim", "16", "--output", "json"];
    let output = bench(folder.path(), &[&["kernels"], &flags[..], &sizes[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let record: Record = serde_json::from_slice(&output.stdout).unwrap();
    let measured: BTreeSet<&str> = record.cases.iter().map(|case| case.workload.as_str()).collect();
    let catalogue: BTreeSet<&str> =
        tensor_kernels::OPERATIONS.iter().map(|operation| operation.name).collect();
    assert_eq!(measured, catalogue);
}

#[test]
fn a_regression_ends_with_code_1_and_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let run = |flags: &[&str]| bench(folder.path(), &[&SMALL[..], flags].concat());
    assert!(run(&["--save", "before"]).status.success());
    let path = folder.path().join("target/tensor-bench/before.json");
    let mut record = Record::read(&path).unwrap();
    let mut scale = |factor: f64| {
        record.cases[0].cpu_s.iter_mut().for_each(|seconds| *seconds *= factor);
        record.write(&path).unwrap();
    };
    scale(1e-3);
    assert!(run(&["--compare", "before"]).status.success());
    let output = run(&["--compare", "before", "--fail-on-regression"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 of 1 cases need over 10 %"), "{}", stderr(&output));
    scale(1e6);
    let output = run(&["--compare", "before", "--fail-on-regression", "20"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
