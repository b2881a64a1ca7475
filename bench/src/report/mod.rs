//! A record as one HTML page with inline SVG and CSS, light and dark, that asks nothing of the network.

mod chart;
mod markdown;
mod plots;
mod spread;

pub use markdown::markdown;

use crate::record::Record;
use crate::table;

/// The page. A section without data says what would fill it.
#[must_use]
pub fn html(record: &Record) -> String {
    let sections = [
        section("Where it was measured", "", Ok(facts(record))),
        section(
            "All cases",
            "Ratio: times as fast as the best peer that did the same with as many threads, or as the scalar oracle \
             where no peer was measured. Of roof: share of the limit of this machine that bounds the case.",
            cases(record),
        ),
        section(
            "Throughput against dimension",
            "What is counted a second, at the median.",
            plots::over_dimension(record).ok_or("search --dim 64,128,256,512,768"),
        ),
        section(
            "Roofline",
            "Arithmetic done a second against operations for each byte that has to come from memory. Dashed: what \
             this machine was measured to do at most.",
            plots::roofline(record).ok_or("all"),
        ),
        section(
            "Speed against density",
            "All pairs of sparse rows of dimension 768. Where two lines cross, the other way of computing becomes the \
             faster one.",
            plots::over_density(record).ok_or("sparse --filter density"),
        ),
        section(
            "All pairs against number of rows",
            "Wall-clock time of one run at the median; the number of pairs grows with the square.",
            plots::scaling(record).ok_or("sparse --filter scaling"),
        ),
        section(
            "Recall against speed",
            "Share of the true ten nearest rows that a search finds. Exact searches stand at 1.",
            plots::recall(record).ok_or("search"),
        ),
        section(
            "Spread of the samples",
            "Each run's wall-clock time over the median of its case. Wide rows were disturbed: trust them less.",
            spread::spread(record).ok_or("kernels"),
        ),
    ]
    .concat();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Tensor Chain: measured</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n\
         <h1>Tensor Chain: measured</h1>\n<p>{} cases on {}, {}.</p>\n{sections}</main>\n</body>\n</html>\n",
        include_str!("style.css"),
        record.cases.len(),
        escape(&record.environment.cpu),
        escape(&record.environment.date)
    )
}

/// A section with its content, or with the command that would fill it.
fn section(title: &str, says: &str, content: Result<String, &str>) -> String {
    let content = content.unwrap_or_else(|command| {
        format!("<p>No data in this file. <code>tensor-bench {command} --json FILE</code> measures it.</p>\n")
    });
    let says = if says.is_empty() { String::new() } else { format!("<p>{says}</p>\n") };
    format!("<section>\n<h2>{title}</h2>\n{says}{content}</section>\n")
}

fn facts(record: &Record) -> String {
    let here = &record.environment;
    let threads: std::collections::BTreeSet<usize> = record.cases.iter().map(|case| case.threads).collect();
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let facts = [
        ("Processor", here.cpu.clone()),
        ("Levels", here.isa.join(", ")),
        ("Cores", here.cores.to_string()),
        ("Threads measured", list(threads.iter().map(ToString::to_string).collect())),
        ("Caches", list(here.caches.iter().map(|c| format!("L{} {} KiB", c.level, c.bytes >> 10)).collect())),
        ("Memory", format!("{:.1} GiB", here.memory as f64 / f64::from(1 << 30))),
        ("Huge pages", here.huge_pages.clone()),
        ("System", here.os.clone()),
        ("Compiler", format!("{}, profile {}", here.rustc, here.profile)),
        ("Commit", here.commit.clone()),
        ("Input files", list(here.data.iter().map(|(name, hash)| format!("{name} sha256 {hash}")).collect())),
        ("Begun", here.date.clone()),
    ];
    let facts = facts.map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value)));
    format!("<dl>\n{}</dl>\n", facts.concat())
}

fn cases(record: &Record) -> Result<String, &'static str> {
    let mut rows = table::rows(record).into_iter();
    let header = rows.next().unwrap_or_default();
    let class = |column: usize| if column < table::NAMES { "" } else { " class=\"number\"" };
    let line = |tag: &str, cells: &[String]| {
        let cells = cells.iter().enumerate();
        let cells = cells.map(|(column, cell)| format!("<{tag}{}>{}</{tag}>", class(column), escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let body: String = rows.map(|cells| line("td", &cells)).collect();
    if body.is_empty() {
        return Err("all");
    }
    Ok(format!("<table>\n<thead>{}</thead>\n<tbody>\n{body}</tbody>\n</table>\n", line("th", &header)))
}

/// Text as HTML and XML text or attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Case, Roof};

    /// Whether tags are closed in the order in which they were opened.
    fn is_well_formed(html: &str) -> bool {
        let mut open: Vec<&str> = Vec::new();
        for tag in html.split('<').skip(1) {
            let Some((tag, text)) = tag.split_once('>') else { return false };
            let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
            if text.contains('>') {
                return false;
            }
            match () {
                () if tag.starts_with('!') || tag.ends_with('/') || name == "meta" => {}
                () if tag.starts_with('/') => {
                    if open.pop() != Some(name) {
                        return false;
                    }
                }
                () => open.push(name),
            }
        }
        open.is_empty()
    }

    fn case(workload: &str, implementation: &str, number: &str, value: f64) -> Case {
        let mut case = Case::new(workload, implementation, &format!("{number} {value} <&>")).on("avx2", 1);
        case.params.insert(number.to_owned(), value);
        case.timed((vec![0.1, 0.2, 0.3], vec![0.1, 0.1, 0.1]), 1e6 * value, "rows")
    }

    #[test]
    fn a_page_without_cases_says_so_everywhere() {
        let page = html(&Record::new());
        assert!(is_well_formed(&page));
        assert_eq!(page.matches("No data in this file").count(), 7);
    }

    #[test]
    fn every_section_draws_its_cases() {
        let mut cases =
            vec![case("w2", "tensor-kernels", "dim", 128.0), case("w2", "tensor-kernels", "dim", 768.0)];
        cases[0].roof = Some(Roof { name: "f32".into(), rate: 1e9, unit: "op".into() });
        (cases[0].ops, cases[0].bytes) = (Some(1e8), Some(1e6));
        (cases[1].recall, cases[1].exact) = (Some(0.9), false);
        for case in &mut cases {
            case.params.insert("queries".into(), 10.0);
        }
        cases.extend([0.01, 0.1].map(|density| case("density", "tensor-kernels", "density", density)));
        cases.extend([0.2, 0.01].map(|density| case("density", "dense", "density", density)));
        cases.extend([1e3, 1e4].map(|rows| case("scaling", "tensor-kernels", "n", rows)));
        let mut limit = case("limits", "this machine", "n", 1.0);
        "DRAM read".clone_into(&mut limit.variant);
        "B".clone_into(&mut limit.unit);
        cases.push(limit);
        let page = html(&Record { cases, ..Record::new() });
        assert!(is_well_formed(&page), "{page}");
        assert_eq!(page.matches("No data in this file").count(), 0, "{page}");
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"));
    }

    #[test]
    fn the_well_formed_check_can_fail() {
        assert!(is_well_formed("<a><b x=\"1\"/>t</a>"));
        assert!(
            !is_well_formed("<a><b></a></b>") && !is_well_formed("<a>") && !is_well_formed("<a>1 > 0</a>")
        );
    }
}
