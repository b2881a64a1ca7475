//! How far the samples of each case scatter: a row of dots a case.

use std::fmt::Write;

use super::escape;
use crate::record::Record;
use crate::timing::median;

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 520.0;
const STEP: f64 = 16.0;
/// Samples from this many times the median on are drawn at the edge.
const MOST: f64 = 2.0;
/// More dots than this say no more.
const DOTS: usize = 100;

/// The rows as SVG; `None` where there are no cases.
pub(super) fn spread(record: &Record) -> Option<String> {
    if record.cases.is_empty() {
        return None;
    }
    let height = STEP * (record.cases.len() as f64 + 2.0);
    let place = |ratio: f64| LEFT + (ratio.min(MOST) - 0.5) / (MOST - 0.5) * (WIDTH - LEFT - 20.0);
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n");
    for ratio in [0.5, 1.0, 1.5, 2.0] {
        let x = place(ratio);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{:.0}\" stroke=\"var(--grid)\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{ratio}</text>",
            height - 20.0,
            height - 6.0
        );
    }
    for (row, case) in record.cases.iter().enumerate() {
        let (y, middle) = (STEP * (row as f64 + 0.5), median(&case.wall_s));
        let name = format!("{} {}, {} threads", case.workload, case.variant, case.threads);
        let name: String = name.chars().take(80).collect();
        let _ = writeln!(out, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 4.0, escape(&name));
        let every = case.wall_s.len().div_ceil(DOTS).max(1);
        for sample in case.wall_s.iter().step_by(every).filter(|_| middle > 0.0) {
            let x = place((sample / middle).max(0.5));
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"var(--plot-0)\" fill-opacity=\"0.4\"/>"
            );
        }
    }
    out.push_str("</svg>\n");
    Some(out)
}
