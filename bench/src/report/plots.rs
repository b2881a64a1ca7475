//! Which cases each plot of the report shows.

use std::collections::BTreeMap;

use super::chart::{Axis, Chart, Series};
use crate::limits;
use crate::record::{Case, Record};
use crate::timing::median;

/// Throughput over `dim`: one plot for each unit, one line for whoever did the same otherwise.
pub(super) fn over_dimension(record: &Record) -> Option<String> {
    let mut units: Vec<&str> = record.cases.iter().map(|case| case.unit.as_str()).collect();
    units.sort_unstable();
    units.dedup();
    let plots = units.into_iter().filter_map(|unit| {
        let cases = record.cases.iter().filter(|case| case.unit == unit);
        let mut series = lines(cases, "dim", |case| Some(case.throughput));
        series.retain(|line| line.points.len() > 1);
        let (x, y) = (Axis::logarithmic("dimension"), Axis::logarithmic(&format!("{unit} a second")));
        Chart { x, y, series, ..Chart::default() }.svg()
    });
    some(plots.collect())
}

/// Operations a second over operations a byte, one plot for each number of threads.
pub(super) fn roofline(record: &Record) -> Option<String> {
    let mut threads: Vec<usize> = record.cases.iter().map(|case| case.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let plots = threads.into_iter().filter_map(|threads| {
        let here = || record.cases.iter().filter(move |case| case.threads == threads);
        let mut series: Vec<Series> = here()
            .filter_map(|case| {
                let (ops, seconds) = (case.ops?, median(&case.wall_s));
                let points = vec![(ops / case.bytes?, ops / seconds)];
                Some(Series { name: format!("{} {}", case.workload, who(case)), points, limit: false })
            })
            .collect();
        if series.is_empty() {
            return None;
        }
        let most = series.iter().flat_map(|s| &s.points).map(|p| p.0).fold(1.0, f64::max);
        let ceilings = here().filter(|case| case.workload == limits::WORKLOAD);
        series.extend(ceilings.map(|case| {
            // Memory gives operations in proportion to what is done with each byte; a unit does so many.
            let at = |x: f64| (x, if case.unit == "B" { x * case.throughput } else { case.throughput });
            Series { name: case.variant.clone(), points: vec![at(0.1), at(most * 2.0)], limit: true }
        }));
        let x = Axis::logarithmic(&format!("operations a byte, {threads} threads"));
        Chart { x, y: Axis::logarithmic("operations a second"), series, ..Chart::default() }.svg()
    });
    some(plots.collect())
}

/// Pairs a second over density, with the place where the two fastest lines cross.
pub(super) fn over_density(record: &Record) -> Option<String> {
    let cases = record.cases.iter().filter(|case| case.workload == "density");
    let series = lines(cases, "density", |case| Some(case.throughput));
    let marks = crossover(&series).into_iter().map(|at| (at, format!("crossover at {:.1} %", at * 100.0)));
    let (x, y) = (Axis::logarithmic("share of components present"), Axis::logarithmic("pairs a second"));
    Chart { x, y, marks: marks.collect(), series }.svg()
}

/// Seconds over the number of rows.
pub(super) fn scaling(record: &Record) -> Option<String> {
    let cases = record.cases.iter().filter(|case| case.workload == "scaling");
    let series = lines(cases, "n", |case| Some(median(&case.wall_s)));
    let (x, y) = (Axis::logarithmic("rows"), Axis::logarithmic("seconds"));
    Chart { x, y, series, ..Chart::default() }.svg()
}

/// Queries a second over recall.
pub(super) fn recall(record: &Record) -> Option<String> {
    let searches = record.cases.iter().filter_map(|case| {
        let queries = case.params.get("queries")? / median(&case.wall_s);
        let name = format!("{} {}, {}", case.workload, who(case), case.variant);
        Some(Series { name, points: vec![(case.recall?, queries)], limit: false })
    });
    let (x, y) = (Axis::linear("recall of the ten nearest"), Axis::logarithmic("queries a second"));
    Chart { x, y, series: searches.collect(), ..Chart::default() }.svg()
}

/// Who ran where.
fn who(case: &Case) -> String {
    let isa = if case.isa == "-" { String::new() } else { format!(" {}", case.isa) };
    format!("{}{isa}, {} threads", case.implementation, case.threads)
}

/// Cases that differ only in the number `over`, as lines.
fn lines<'a>(
    cases: impl Iterator<Item = &'a Case>,
    over: &str,
    value: impl Fn(&Case) -> Option<f64>,
) -> Vec<Series> {
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for case in cases {
        if let (Some(&x), Some(y)) = (case.params.get(over), value(case)) {
            let others = case.params.iter().filter(|(name, _)| *name != over);
            let others: String = others.map(|(name, value)| format!(", {name} {value:.4}")).collect();
            let others = others.replace(".0000", "");
            lines.entry(format!("{} {}{others}", case.workload, who(case))).or_default().push((x, y));
        }
    }
    let sorted = |(name, mut points): (String, Vec<(f64, f64)>)| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name, points, limit: false }
    };
    lines.into_iter().map(sorted).collect()
}

/// Where the line that is highest at the left falls below another: between two neighbouring points, on the
/// straight lines that logarithmic axes show.
fn crossover(series: &[Series]) -> Option<f64> {
    let least = series.iter().filter_map(|s| s.points.first()).map(|p| p.0).min_by(f64::total_cmp)?;
    let highest = |x: f64| {
        let at = series.iter().filter_map(|s| Some((s, s.points.iter().find(|p| p.0 == x)?.1)));
        at.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(series, _)| series)
    };
    let first = highest(least)?;
    for (a, b) in first.points.iter().zip(first.points.iter().skip(1)) {
        let other = highest(b.0)?;
        if !std::ptr::eq(other, first) {
            let (from, to) =
                (other.points.iter().find(|p| p.0 == a.0)?, other.points.iter().find(|p| p.0 == b.0)?);
            let (before, after) = ((a.1 / from.1).ln(), (b.1 / to.1).ln());
            return Some((a.0.ln() + (b.0 / a.0).ln() * before / (before - after)).exp());
        }
    }
    None
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> Series {
        Series { name: String::new(), points: points.to_vec(), limit: false }
    }

    #[test]
    fn lines_cross_where_they_meet_on_the_plot() {
        // y = 1/x against y = 1: they meet at 1.
        let lists = line(&[(0.1, 10.0), (0.5, 2.0), (10.0, 0.1)]);
        let tile = line(&[(0.1, 1.0), (0.5, 1.0), (10.0, 1.0)]);
        assert!((crossover(&[tile, lists]).unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn lines_that_do_not_cross_have_no_crossover() {
        let (low, high) = (line(&[(1.0, 1.0), (2.0, 1.0)]), line(&[(1.0, 2.0), (2.0, 3.0)]));
        assert_eq!(crossover(&[low, high]), None);
        assert_eq!(crossover(&[]), None);
        assert_eq!(crossover(&[line(&[(1.0, 1.0)])]), None);
    }
}
