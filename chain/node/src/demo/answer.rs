//! What the demo answers: about 25 lines for people, one object for programs. Apart from `device`, `timing`
//! and the names of files the object is the same on every machine, level and thread count.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::stopwatch::Timing;
use crate::classes::Classes;
use crate::format::{grouped, percent};

/// Everything the demo found.
#[derive(Debug, Serialize)]
pub struct Demo {
    /// What computed.
    pub device: DeviceLine,
    /// What went in.
    pub data: Data,
    /// What was built of it.
    pub chain: Chain,
    /// What verification recomputed.
    pub verification: Verification,
    /// A vocabulary of typical days.
    pub codebook: Codebook,
    /// How the days' deltas stand to each other.
    pub conflicts: Conflicts,
    /// The largest deltas.
    pub drift: Vec<Drift>,
    /// Days like a given day.
    pub similar: Vec<Similar>,
    /// Where the report is.
    pub report: PathBuf,
    /// How long each stage took.
    pub timing: Timing,
}

/// What computed.
#[derive(Debug, Serialize)]
pub struct DeviceLine {
    /// `scalar` or `simd`.
    pub backend: String,
    /// Instruction-set level.
    pub isa: &'static str,
    /// Worker threads.
    pub threads: usize,
    /// Why no GPU computed.
    pub gpu: String,
}

/// What went in.
#[derive(Debug, Serialize)]
pub struct Data {
    /// Whose figures these are.
    pub source: &'static str,
    /// First business day.
    pub first_day: String,
    /// Last business day.
    pub last_day: String,
    /// Business days.
    pub days: usize,
    /// Currencies, one dimension each.
    pub currencies: usize,
    /// Rates published; the rest of the table is gaps.
    pub rates: usize,
    /// Magnitude above which a log return is part of a delta.
    pub threshold: f64,
    /// Mean number of non-zero components of a delta.
    pub mean_nnz: f64,
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct Chain {
    /// Height of the tip; genesis is 0, so this is also the number of days.
    pub height: u64,
    /// Operations in all blocks.
    pub transactions: u64,
    /// Hash of the last block.
    pub tip_hash: String,
    /// Root of the state after it.
    pub state_root: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Where the chain is kept; nowhere when it lives in memory.
    pub data_dir: Option<PathBuf>,
}

/// Where the demo's chain comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Built in this run.
    Built,
    /// Found in the data directory.
    Found,
}

/// What verification recomputed, all of it agreeing.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// Blocks checked, genesis included.
    pub blocks: u64,
}

/// A vocabulary of typical days.
#[derive(Debug, Serialize)]
pub struct Codebook {
    /// Entries.
    pub entries: usize,
    /// Rounds of Lloyd's algorithm until no day changed its entry.
    pub rounds: usize,
    /// Σ ‖delta − nearest entry‖².
    pub inertia: f64,
    /// 1 − inertia / Σ ‖delta − mean‖².
    pub explained_variance: f64,
}

/// How the deltas of nearby days stand to each other, keys taken as disjoint.
#[derive(Debug, Serialize)]
pub struct Conflicts {
    /// Days in a window; pairs are formed inside it.
    pub window: usize,
    /// Windows.
    pub windows: usize,
    /// Pairs by class.
    #[serde(flatten)]
    pub classes: Classes,
}

/// A day and how far it moved.
#[derive(Debug, Clone, Serialize)]
pub struct Drift {
    /// The day.
    pub date: String,
    /// The currency that moved most.
    pub currency: String,
    /// ‖delta‖.
    pub norm: f64,
}

/// Days like a given day.
#[derive(Debug, Serialize)]
pub struct Similar {
    /// The day.
    pub date: String,
    /// What happened.
    pub event: &'static str,
    /// The days most like it, nearest first.
    pub days: Vec<Neighbour>,
}

/// A day like another.
#[derive(Debug, Serialize)]
pub struct Neighbour {
    /// The day.
    pub date: String,
    /// Cosine of the two deltas.
    pub cosine: f64,
}

impl fmt::Display for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, data, chain, codebook, conflicts, timing, .. } = self;
        let took = |stage| timing.of(stage);
        writeln!(
            f,
            "device    {}: {}, {} threads; gpu: {}",
            device.backend, device.isa, device.threads, device.gpu
        )?;
        writeln!(
            f,
            "data      {} days x {} currencies, {} to {} (embedded; source: {})",
            grouped(data.days as u64),
            data.currencies,
            data.first_day,
            data.last_day,
            data.source
        )?;
        writeln!(
            f,
            "          {} rates; a delta = the day's log returns above {}, {:.1} of {} non-zero",
            grouped(data.rates as u64),
            percent(data.threshold),
            data.mean_nnz,
            data.currencies
        )?;
        self.fmt_chain(f)?;
        writeln!(
            f,
            "codebook  {} typical days after {} rounds explain {} of the variance{}",
            codebook.entries,
            codebook.rounds,
            percent(codebook.explained_variance),
            took("codebook")
        )?;
        let Classes { pairs, orthogonal, low_conflict, conflicting_by_cosine, conflicting_by_overlap } =
            conflicts.classes;
        let share = |count| percent(conflicts.classes.share(count));
        writeln!(
            f,
            "conflicts {} pairs in {} windows of {} days{}",
            grouped(pairs),
            conflicts.windows,
            conflicts.window,
            took("conflicts")
        )?;
        writeln!(
            f,
            "          orthogonal {}   low {}   conflicting: by cosine {}, by overlap {}",
            share(orthogonal),
            share(low_conflict),
            share(conflicting_by_cosine),
            share(conflicting_by_overlap)
        )?;
        self.fmt_days(f)?;
        writeln!(f, "report    {}", self.report.display())?;
        writeln!(f, "total     {:.2} s", timing.total_ms / 1e3)?;
        if chain.data_dir.is_none() {
            let next = [
                ("demo --data-dir fx", "keeps the chain"),
                ("history CHF --data-dir fx", "every rate of the franc"),
                ("conflicts --sweep --data-dir fx", "the classes at other thresholds"),
            ];
            for (head, (command, what)) in ["next", "", ""].iter().zip(next) {
                writeln!(f, "{head:<9} tensorchain {command:<32} {what}")?;
            }
        }
        Ok(())
    }
}

impl Demo {
    fn fmt_chain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, verification, timing, .. } = self;
        let blocks = grouped(chain.height);
        let what = match (chain.origin, &chain.data_dir) {
            (Origin::Built, None) => "built in memory, one block a day".to_owned(),
            (Origin::Built, Some(dir)) => format!("built, one block a day, and kept in {}", dir.display()),
            (Origin::Found, Some(dir)) => format!("found in {} and compared with the data", dir.display()),
            (Origin::Found, None) => "found".to_owned(),
        };
        let writes = grouped(chain.transactions);
        writeln!(f, "chain     {blocks} blocks, {writes} writes: {what}{}", timing.of("chain"))?;
        writeln!(f, "          tip_hash   {}", chain.tip_hash)?;
        writeln!(f, "          state_root {}", chain.state_root)?;
        writeln!(
            f,
            "verify    ok: hashes, signatures, roots and sums of {} blocks recomputed{}",
            grouped(verification.blocks),
            timing.of("verify")
        )
    }

    fn fmt_days(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "drift     the largest moves: |delta|, and the currency that moved most")?;
        for row in self.drift.chunks(3) {
            let moves: Vec<_> =
                row.iter().map(|d| format!("{} {} {:.3}", d.date, d.currency, d.norm)).collect();
            writeln!(f, "          {}", moves.join("   "))?;
        }
        for Similar { date, event, days } in &self.similar {
            writeln!(f, "similar   to {date} ({event}), with the cosine of the deltas")?;
            let days: Vec<_> = days.iter().map(|near| format!("{} {:.2}", near.date, near.cosine)).collect();
            writeln!(f, "          {}", days.join("   "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Demo {
    /// An answer as the real one looks.
    pub(crate) fn sample() -> Self {
        let classes = Classes {
            pairs: 224_007,
            orthogonal: 30_061,
            low_conflict: 92_151,
            conflicting_by_cosine: 6_656,
            conflicting_by_overlap: 95_139,
        };
        Self {
            device: DeviceLine { backend: "simd".into(), isa: "avx2", threads: 2, gpu: "none".into() },
            data: Data {
                source: "ECB statistics",
                first_day: "1999-01-04".into(),
                last_day: "2026-10-30".into(),
                days: 7_126,
                currencies: 41,
                rates: 221_702,
                threshold: 0.002,
                mean_nnz: 16.3,
            },
            chain: Chain {
                height: 7_126,
                transactions: 221_702,
                tip_hash: "ab".repeat(32),
                state_root: "cd".repeat(32),
                origin: Origin::Built,
                data_dir: None,
            },
            verification: Verification { blocks: 7_127 },
            codebook: Codebook { entries: 32, rounds: 40, inertia: 3.9, explained_variance: 0.51 },
            conflicts: Conflicts { window: 64, windows: 112, classes },
            drift: [("2001-02-22", "TRL", 0.521), ("2008-11-06", "ISK", 0.405), ("2015-01-15", "CHF", 0.171)]
                .map(|(date, currency, norm)| Drift { date: date.into(), currency: currency.into(), norm })
                .into(),
            similar: vec![Similar {
                date: "2015-01-15".into(),
                event: "the franc unpegged",
                days: vec![Neighbour { date: "2022-06-16".into(), cosine: 0.759 }],
            }],
            report: PathBuf::from("report.html"),
            timing: Timing {
                stages: vec![super::Stage { name: "chain", elapsed_ms: 812.5 }],
                total_ms: 1_234.5,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_as_people_read_it() {
        assert_eq!(Demo::sample().to_string(), include_str!("answer.txt"));
    }
}
