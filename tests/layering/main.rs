//! Holds the repository to the rules that ARCHITECTURE.md states: this test reads the page itself.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the first table whose header is `| first | second |`, cells trimmed.
fn table(page: &str, first: &str, second: &str) -> Vec<(String, String)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let mut lines = page.lines().skip_while(|line| !line.starts_with('|') || cells(line) != [first, second]);
    assert!(lines.next().is_some(), "ARCHITECTURE.md has no table `| {first} | {second} |`");
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = cells(line);
            (cells[0].clone(), cells[1].clone())
        })
        .collect()
}

/// Which workspace crates each workspace crate depends on, dev-dependencies left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata =
        cargo_metadata::MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec();
    let packages = metadata.expect("cargo metadata").packages;
    let names: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    let used = |package: &cargo_metadata::Package| {
        let normal = package.dependencies.iter().filter(|d| d.kind == cargo_metadata::DependencyKind::Normal);
        normal.map(|d| d.name.clone()).filter(|name| names.contains(name)).collect()
    };
    packages.iter().map(|package| (package.name.to_string(), used(package))).collect()
}

#[test]
fn crates_use_what_the_table_says_and_nothing_else() {
    let stated: BTreeMap<String, BTreeSet<String>> = table(&read("ARCHITECTURE.md"), "crate", "uses")
        .into_iter()
        .map(|(name, uses)| {
            let uses = uses.split(',').map(|u| u.trim().trim_matches('`').to_owned());
            (name, uses.filter(|u| u != "–").collect())
        })
        .collect();
    assert_eq!(dependencies(), stated, "left: the workspace; right: ARCHITECTURE.md, table of crates");
}

/// Every Rust source file of the workspace, relative to the root.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["shaders", "kernels", "datasets", "chain", "bench", "tests"] {
        walk(&root().join(folder), &mut found);
    }
    found.sort();
    found.into_iter().map(|path| path.strip_prefix(root()).unwrap().to_path_buf()).collect()
}

#[test]
fn every_operation_of_the_catalogue_is_where_its_name_says() {
    for operation in tensor_kernels::OPERATIONS {
        let name = operation.name;
        let mut files = vec![format!("tests/agreement/{name}.rs")];
        if operation.backends.contains(&tensor_kernels::BackendKind::Simd) {
            files.extend([format!("kernels/src/scalar/{name}.rs"), format!("kernels/src/simd/{name}.rs")]);
        } else {
            files.push(format!("kernels/src/{name}.rs"));
        }
        if operation.backends.contains(&tensor_kernels::BackendKind::Gpu) {
            files.push(format!("kernels/src/gpu/{name}.rs"));
        }
        for file in files {
            assert!(root().join(&file).exists(), "operation {name} has no {file}");
        }
    }
}

#[test]
fn every_source_file_says_what_it_holds() {
    let silent: Vec<_> = sources().into_iter().filter(|path| !read(path).starts_with("//!")).collect();
    assert!(silent.is_empty(), "files without a `//!` first line: {silent:?}");
}

#[test]
fn unsafe_code_is_forbidden_outside_kernels_and_the_test_harness() {
    let may = ["tensor-kernels", "tensor-tests"];
    for name in dependencies().keys().filter(|name| !may.contains(&name.as_str())) {
        let folder = match name.as_str() {
            "tensor-chain" => "chain/core/src/lib.rs".into(),
            "tensor-cluster" | "tensor-client" | "tensor-node" => {
                format!("chain/{}/src/lib.rs", name.trim_start_matches("tensor-"))
            }
            other => format!("{}/src/lib.rs", other.trim_start_matches("tensor-")),
        };
        assert!(read(&folder).contains("#![forbid(unsafe_code)]"), "{folder} must forbid unsafe code");
    }
}

#[test]
fn modules_name_only_what_the_table_allows() {
    // The table lists words that only some paths may contain, so that a library stays behind one door.
    for (word, places) in table(&read("ARCHITECTURE.md"), "name", "only in") {
        let places: Vec<_> =
            places.split(',').map(|place| place.trim().trim_matches('`').to_owned()).collect();
        for path in sources() {
            let text = path.to_string_lossy().into_owned();
            if places.iter().any(|place| text.starts_with(place)) || text.starts_with("tests/") {
                continue;
            }
            let code = read(&path);
            let named = code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(&word));
            assert!(!named, "{text} names `{word}`, which belongs in {places:?} only");
        }
    }
}

#[test]
fn what_every_node_must_agree_on_knows_no_float_clock_or_map_order() {
    let embedded =
        ["apply", "batch", "block", "block_places", "clashes", "effects", "history", "replay", "state"];
    let replicated = ["apply", "checkpoint", "entry", "finality", "outcome", "sessions"];
    let replicated = replicated.map(|file| format!("replicated/{file}"));
    for file in embedded.map(str::to_owned).into_iter().chain(replicated) {
        let path = format!("chain/core/src/{file}.rs");
        let text = read(&path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["f32", "f64", "SystemTime", "Instant", "HashMap", "HashSet", "getrandom"] {
            let named = code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(
                !named,
                "{path} names {word}: the state after a block is a function of state and block alone"
            );
        }
    }
}

#[test]
fn tests_never_sleep_for_a_fixed_time() {
    let word = ["thread::", "sleep("].concat();
    for path in sources() {
        assert!(
            !read(&path).contains(&word),
            "{} sleeps; wait for a named condition instead",
            path.display()
        );
    }
}
