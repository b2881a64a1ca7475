//! `.parquet` files that pyarrow wrote, and what becomes of them when they are cut or altered.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tensor_datasets::files::{self, FileError};

const DENSE: [[f32; 3]; 2] = [[1.5, -2.0, 0.0], [0.25, 3.0, -0.5]];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.parquet"))
}

#[test]
fn reads_lists_of_either_kind_and_columns() {
    for name in ["fixed", "list", "columns"] {
        let rows = files::read(&fixture(name)).unwrap();
        assert_eq!(rows.dense().unwrap().iter().collect::<Vec<_>>(), DENSE, "{name}");
    }
}

#[test]
fn refuses_what_is_no_matrix_and_says_why() {
    let error = |name| files::read(&fixture(name)).unwrap_err();
    assert!(matches!(error("ragged"), FileError::Length { got: 4, expected: 2, .. }));
    assert!(matches!(error("gaps"), FileError::Value { what: "row", position: 0, .. }));
    assert!(matches!(error("text"), FileError::UnsupportedType { got, .. } if got == "id BYTE_ARRAY"));
}

proptest! {
    #[test]
    fn altered_files_are_refused_or_other_rows(
        name in prop_oneof![Just("fixed"), Just("list"), Just("columns"), Just("gaps")],
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in 0.0..1.3_f64,
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (position, byte) in edits {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(rows) = files::read(&path) {
            let values: Vec<f32> = rows.dense().unwrap().iter().flatten().copied().collect();
            prop_assert_eq!(values.len(), rows.rows() * rows.dim());
            prop_assert!(values.iter().all(|value| value.is_finite()));
        }
    }
}
