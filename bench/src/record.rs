//! What one run leaves behind, as one JSON document: where it ran, and a record for each case.
//!
//! [`Record`] is what `--json`, `--save`, `--compare` and `report` share, and what every measured
//! library is written into, ours or a peer's. A file of another [`FORMAT`], or one that holds numbers
//! that cannot be measurements, is refused when it is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::timing::median;

/// Version of the JSON layout; it grows when a field appears, goes or changes its meaning.
pub const FORMAT: u32 = 2;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Layout version: [`FORMAT`].
    pub format: u32,
    /// The machine, the build and the inputs.
    pub environment: Environment,
    /// All cases, in the order they ran.
    pub cases: Vec<Case>,
}

/// One timed case: one implementation at one level and thread count on one input.
///
/// `workload`, `variant` and `threads` together name the work: cases that agree on all three did the
/// same and may be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What was computed, e.g. `w1`, `conflict_matrix` or `limits`.
    pub workload: String,
    /// Who computed it: `tensor-kernels`, or a peer's package name and version.
    #[serde(rename = "impl")]
    pub implementation: String,
    /// Sizes and kind of the input, e.g. `1 x 100000 x 768 f32, cosine, top 10`.
    pub variant: String,
    /// Instruction-set level; `-` where the implementation does not say.
    pub isa: String,
    /// Worker threads.
    pub threads: usize,
    /// Wall-clock seconds of each run. Of a cluster under load a run is a request, and of many requests these are a
    /// thousand, evenly spread over all in their order.
    pub wall_s: Vec<f64>,
    /// Processor seconds of each run, all threads of the process together; of a request to a cluster the mean, nodes and
    /// clients together.
    pub cpu_s: Vec<f64>,
    /// What is counted, e.g. `rows`; throughput is in these a second.
    pub unit: String,
    /// How many units one run does.
    pub units: f64,
    /// Units a second at the median wall-clock time; of a cluster under load over the whole time.
    pub throughput: f64,
    /// The largest absolute difference from the f64 or exact oracle; 0 for an exact answer.
    pub max_error: f64,
    /// Whether the answer equals the oracle's exactly.
    pub exact: bool,
    /// The measured limit that this case cannot pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roof: Option<Roof>,
    /// Bytes that one run has to move to or from memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Arithmetic operations of one run; a multiply-add counts two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops: Option<f64>,
    /// Share of the true nearest neighbours that were found; 1 for an exact search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Numbers of the input that plots are drawn over: `dim`, `n`, `density`, `queries`, `k`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, f64>,
    /// What else a reader should know, e.g. how many pairs were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A limit of the machine, measured in the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roof {
    /// Which limit, by its name in the `limits` workload, e.g. `DRAM read`.
    pub name: String,
    /// Its measured rate at the same number of threads: bytes or operations a second.
    pub rate: f64,
    /// What the rate counts: `B` or `op`.
    pub unit: String,
}

/// Why a file is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not JSON of this layout.
    #[error("{path} is not a record of tensor-bench: {source}")]
    Layout {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// The record cannot be written as JSON.
    #[error("the record cannot be written as JSON: {0}")]
    Unwritable(#[source] serde_json::Error),
    /// The file has another layout version.
    #[error("{path} has layout {got}, this build reads layout {expected}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        got: u32,
        /// The version this build reads.
        expected: u32,
    },
    /// A case holds what no measurement can give.
    #[error("{workload}, {variant}: {field} is not a measurement")]
    Nonsense {
        /// The case's workload.
        workload: String,
        /// The case's variant.
        variant: String,
        /// The field that is wrong.
        field: &'static str,
    },
}

impl Case {
    /// A case with its samples; the throughput follows from them. Exact, with no roof, until told otherwise.
    #[must_use]
    pub fn new(workload: &str, implementation: &str, variant: &str) -> Self {
        Self {
            workload: workload.to_owned(),
            implementation: implementation.to_owned(),
            variant: variant.to_owned(),
            isa: "-".to_owned(),
            threads: 1,
            wall_s: Vec::new(),
            cpu_s: Vec::new(),
            unit: "runs".to_owned(),
            units: 1.0,
            throughput: 0.0,
            max_error: 0.0,
            exact: true,
            roof: None,
            bytes: None,
            ops: None,
            recall: None,
            params: BTreeMap::new(),
            note: None,
        }
    }

    /// Sets where it ran.
    #[must_use]
    pub fn on(mut self, isa: impl ToString, threads: usize) -> Self {
        (self.isa, self.threads) = (isa.to_string(), threads);
        self
    }

    /// Sets the samples and, from them, the throughput in `units` a run.
    #[must_use]
    pub fn timed(mut self, (wall_s, cpu_s): (Vec<f64>, Vec<f64>), units: f64, unit: &str) -> Self {
        self.throughput = units / median(&wall_s);
        (self.wall_s, self.cpu_s, self.units, self.unit) = (wall_s, cpu_s, units, unit.to_owned());
        self
    }

    /// Whether both did the same work, so that their times may be compared.
    #[must_use]
    pub fn same_work(&self, other: &Self) -> bool {
        self.workload == other.workload && self.variant == other.variant && self.threads == other.threads
    }

    /// The field that no measurement can give, if there is one.
    fn nonsense(&self) -> Option<&'static str> {
        let seconds = |samples: &[f64]| samples.iter().all(|s| s.is_finite() && *s >= 0.0);
        let amount = |value: f64| value.is_finite() && value >= 0.0;
        let checks = [
            ("workload", !self.workload.is_empty()),
            ("impl", !self.implementation.is_empty()),
            ("threads", self.threads > 0),
            ("wall_s", !self.wall_s.is_empty() && seconds(&self.wall_s)),
            ("cpu_s", self.cpu_s.len() == self.wall_s.len() && seconds(&self.cpu_s)),
            ("units", amount(self.units)),
            ("throughput", amount(self.throughput)),
            ("max_error", amount(self.max_error) && !(self.exact && self.max_error > 0.0)),
            ("roof", self.roof.as_ref().is_none_or(|roof| amount(roof.rate) && roof.rate > 0.0)),
            ("bytes", self.bytes.is_none_or(amount)),
            ("ops", self.ops.is_none_or(amount)),
            ("recall", self.recall.is_none_or(|share| (0.0..=1.0).contains(&share))),
            ("params", self.params.values().all(|value| value.is_finite())),
        ];
        checks.into_iter().find(|(_, holds)| !holds).map(|(field, _)| field)
    }
}

impl Record {
    /// A record of this machine with no cases yet.
    #[must_use]
    pub fn new() -> Self {
        Self { format: FORMAT, environment: Environment::here(), cases: Vec::new() }
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// A file that is missing, not JSON, of another layout version, or with numbers that cannot be measurements.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        /// The only field whose meaning no version may change.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let layout = |source| RecordError::Layout { path: path.to_owned(), source };
        let text = std::fs::read(path).map_err(|source| RecordError::Io { path: path.to_owned(), source })?;
        let version: Version = serde_json::from_slice(&text).map_err(layout)?;
        if version.format != FORMAT {
            return Err(RecordError::Format { path: path.to_owned(), got: version.format, expected: FORMAT });
        }
        let record: Self = serde_json::from_slice(&text).map_err(layout)?;
        record.check()?;
        Ok(record)
    }

    /// Writes the record, with its parent directory.
    ///
    /// # Errors
    /// Numbers that cannot be measurements, or whatever the file system refuses.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let text = self.to_json()?;
        let io = |source| RecordError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        std::fs::write(path, text).map_err(io)
    }

    /// The record as one JSON document.
    ///
    /// # Errors
    /// Numbers that cannot be measurements.
    pub fn to_json(&self) -> Result<String, RecordError> {
        self.check()?;
        Ok(serde_json::to_string_pretty(self).map_err(RecordError::Unwritable)? + "\n")
    }

    fn check(&self) -> Result<(), RecordError> {
        self.cases.iter().find_map(|case| case.nonsense().map(|field| (case, field))).map_or(
            Ok(()),
            |(case, field)| {
                let (workload, variant) = (case.workload.clone(), case.variant.clone());
                Err(RecordError::Nonsense { workload, variant, field })
            },
        )
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        let mut case = Case::new("w1", "tensor-kernels", "1 x 10 x 4").on("scalar", 1);
        case.params.insert("dim".to_owned(), 4.0);
        case.timed((vec![2.0, 1.0, 4.0], vec![2.0, 1.0, 3.0]), 10.0, "rows")
    }

    fn written(change: impl FnOnce(&mut serde_json::Value)) -> Result<Record, RecordError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        let record = Record { cases: vec![case()], ..Record::new() };
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), record);
        let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
        Record::read(&path)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let record = written(|_| ()).unwrap();
        assert!((record.cases[0].throughput - 5.0).abs() < 1e-12, "the median of the samples is 2 s");
    }

    #[test]
    fn other_layouts_and_nonsense_are_refused() {
        let other = written(|json| json["format"] = 1.into());
        assert!(matches!(other, Err(RecordError::Format { got: 1, .. })));
        assert!(matches!(written(|json| json["cases"] = 3.into()), Err(RecordError::Layout { .. })));
        let strange = written(|json| json["cases"][0]["colour"] = 3.into());
        assert!(matches!(strange, Err(RecordError::Layout { .. })));
        for (field, value) in [
            ("wall_s", serde_json::json!([])),
            ("wall_s", serde_json::json!([-1.0, 1.0, 1.0])),
            ("cpu_s", serde_json::json!([1.0])),
            ("threads", 0.into()),
            ("recall", 2.into()),
            ("max_error", 0.5.into()),
        ] {
            match written(|json| json["cases"][0][field] = value) {
                Err(RecordError::Nonsense { field: got, .. }) => assert_eq!(got, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
