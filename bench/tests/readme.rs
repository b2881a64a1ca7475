//! The tables of figures in the README are the committed records, and nothing else.

use std::path::Path;

use tensor_bench::record::Record;
use tensor_bench::report::markdown;

#[test]
fn the_readme_quotes_the_committed_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    for record in ["bench/record/kernels.json", "bench/record/cluster.json"] {
        let table = markdown(&Record::read(&root.join(record)).unwrap());
        assert!(
            readme.contains(table.trim_end()),
            "README.md does not have the table of `tensor-bench report {record} --markdown`:\n{table}"
        );
    }
}
