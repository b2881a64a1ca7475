//! The table of kernels in the README is the committed record, and nothing else.

use std::path::Path;

use tensor_bench::record::Record;
use tensor_bench::report::markdown;

#[test]
fn the_readme_quotes_the_committed_record() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let table = markdown(&Record::read(&root.join("bench/record/kernels.json")).unwrap());
    assert!(
        readme.contains(&table),
        "README.md does not have the table of `tensor-bench report bench/record/kernels.json --markdown`:\n{table}"
    );
}
