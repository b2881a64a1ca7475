//! The demo's report: one HTML file with inline SVG and CSS, light and dark, that asks nothing of the network.

mod plots;

use tensor_datasets::Date;

use crate::classes::Classes;
use crate::demo::{Demo, Similar};
use crate::format::{grouped, percent};
use plots::Share;

/// What the plots show beyond the demo's answer.
#[derive(Debug)]
pub struct Drawn {
    /// Business days, ascending.
    pub dates: Vec<Date>,
    /// Currency codes, one per dimension.
    pub currencies: Vec<String>,
    /// ‖delta‖ of each day.
    pub norms: Vec<f64>,
    /// Classes in each window of days.
    pub windows: Vec<Classes>,
    /// For each of the answer's similar days, the day itself and its neighbours: name and log returns.
    pub alike: Vec<Vec<(String, Vec<f64>)>>,
    /// Days per codebook entry.
    pub members: Vec<u64>,
}

/// The report as one HTML document.
#[must_use]
pub fn html(demo: &Demo, drawn: &Drawn) -> String {
    let alike = demo.similar.iter().zip(&drawn.alike).map(|(day, rows)| alike(day, rows, &drawn.currencies));
    let sections = [facts(demo), drift(demo, drawn), conflicts(demo, drawn)]
        .into_iter()
        .chain(alike)
        .chain([codebook(demo, drawn), timing(demo)])
        .collect::<String>();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{TITLE}</h1>
<p>One block a business day, {first} to {last}. Each block writes the day's rates and carries its delta: the
log returns above {threshold}.</p>
{sections}<footer>Source: {source}. Everything shown is derived by Tensor Chain {version} and is not an ECB statistic.</footer>
</main>
</body>
</html>
"#,
        style = include_str!("style.css"),
        first = escape(&demo.data.first_day),
        last = escape(&demo.data.last_day),
        threshold = percent(demo.data.threshold),
        source = escape(demo.data.source),
        version = env!("CARGO_PKG_VERSION"),
    )
}

const TITLE: &str = "Tensor Chain: 27 years of exchange rates";

fn facts(demo: &Demo) -> String {
    let Demo { device, chain, data, .. } = demo;
    let facts = [
        ("Blocks", grouped(chain.height)),
        ("Writes", grouped(chain.transactions)),
        ("Currencies", data.currencies.to_string()),
        ("Moves in a delta", format!("{:.1}", data.mean_nnz)),
        ("Computed by", device.isa.to_owned()),
        ("Threads", device.threads.to_string()),
        ("Total time", format!("{:.2} s", demo.timing.total_ms / 1e3)),
    ];
    let facts: String = facts
        .iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(value)))
        .collect();
    format!(
        r#"<section><dl>
{facts}</dl>
<p class="below">Tip hash <code>{tip_hash}</code><br>State root <code>{state_root}</code><br>{blocks} blocks were
verified. The hashes depend on the data alone, not on the machine, its instruction set or the number of threads.</p>
</section>
"#,
        tip_hash = escape(&chain.tip_hash),
        state_root = escape(&chain.state_root),
        blocks = grouped(demo.verification.blocks),
    )
}

/// Names nearer to each other than this would be drawn over each other.
const NAMES_APART_MS: i64 = 400 * 86_400_000;

fn drift(demo: &Demo, drawn: &Drawn) -> String {
    let norms: Vec<(Date, f64)> = drawn.dates.iter().copied().zip(drawn.norms.iter().copied()).collect();
    let mut named: Vec<(Date, f64, String)> = Vec::new();
    for largest in &demo.drift {
        let Ok(day) = largest.date.parse::<Date>() else { continue };
        if named.iter().all(|(other, ..)| (other.unix_ms() - day.unix_ms()).abs() > NAMES_APART_MS) {
            named.push((day, largest.norm, format!("{} {day}", largest.currency)));
        }
    }
    let note = "The norm of each day's delta. The largest moves are named by the currency that moved most.";
    section("How far each day moved", note, &plots::over_time(&norms, &named, "‖delta‖"))
}

fn conflicts(demo: &Demo, drawn: &Drawn) -> String {
    let days: Vec<Date> = drawn.dates.iter().copied().step_by(demo.conflicts.window.max(1)).collect();
    let share = |name, color, count: fn(&Classes) -> u64| Share {
        name,
        color,
        values: drawn.windows.iter().map(|window| window.share(count(window))).collect(),
    };
    let plot = plots::shares(
        &days,
        &[
            share("conflicting: by cosine", "var(--plot-4)", |c| c.conflicting_by_cosine),
            share("conflicting: by overlap", "var(--plot-3)", |c| c.conflicting_by_overlap),
            share("low conflict", "var(--plot-2)", |c| c.low_conflict),
            share("orthogonal", "var(--plot-5)", |c| c.orthogonal),
        ],
    );
    let note = format!(
        "Classes of all {} pairs of days inside windows of {} days, keys taken as disjoint.",
        grouped(demo.conflicts.classes.pairs),
        demo.conflicts.window
    );
    section("Could two days be merged?", &note, &plot)
}

fn alike(similar: &Similar, rows: &[(String, Vec<f64>)], currencies: &[String]) -> String {
    let title = format!("Days like {}: {}", similar.date, similar.event);
    let note = "The log returns of the day, and of the days most similar to it with their cosine. Blue: the \
                currency fell against the euro; red: it rose.";
    section(&title, note, &plots::signed_grid(rows, currencies))
}

fn codebook(demo: &Demo, drawn: &Drawn) -> String {
    let mut members = drawn.members.clone();
    members.sort_unstable_by(|a, b| b.cmp(a));
    let bars: Vec<(String, f64)> =
        members.iter().enumerate().map(|(rank, &days)| ((rank + 1).to_string(), days as f64)).collect();
    let note = format!(
        "k-means found {} typical days in {} rounds; they explain {} of the variance. How many days each stands for:",
        demo.codebook.entries,
        demo.codebook.rounds,
        percent(demo.codebook.explained_variance)
    );
    section("A vocabulary of typical days", &note, &plots::bars(&bars, "entry, most used first", "days"))
}

fn timing(demo: &Demo) -> String {
    let stages: String = demo
        .timing
        .stages
        .iter()
        .map(|stage| format!("<tr><td>{}</td><td>{:.1}</td></tr>\n", escape(stage.name), stage.elapsed_ms))
        .collect();
    let head = "<tr><th>stage</th><th>ms</th></tr>";
    format!("<section><h2>Time per stage</h2>\n<table>{head}\n{stages}</table>\n</section>\n")
}

fn section(title: &str, note: &str, svg: &str) -> String {
    format!("<section><h2>{}</h2>\n<p>{}</p>\n{svg}\n</section>\n", escape(title), escape(note))
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use tensor_datasets::EcbFx;

    use super::*;

    /// The sample of the answer's tests, and real days around it.
    fn sample() -> (Demo, Drawn) {
        let (demo, fx) = (Demo::sample(), EcbFx::embedded().unwrap());
        let returns = |date: &str| -> Vec<f64> {
            let day = fx.day_of(date.parse().unwrap()).unwrap();
            (0..41).map(|currency| fx.log_return(day, currency).unwrap_or(0.0)).collect()
        };
        let norms = (0..7_126)
            .map(|day| {
                fx.delta(day, 0.002).unwrap().values().iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt()
            })
            .collect();
        let window =
            |n: u64| Classes { orthogonal: 270 + n, low_conflict: 830 - n, ..demo.conflicts.classes };
        let drawn = Drawn {
            dates: fx.dates().to_vec(),
            currencies: fx.currencies().to_vec(),
            norms,
            windows: (0..112).map(window).collect(),
            alike: vec![vec![
                ("2015-01-15".into(), returns("2015-01-15")),
                ("2022-06-16 0.76".into(), returns("2022-06-16")),
            ]],
            members: (1..=32).map(|n| n * 13).collect(),
        };
        (demo, drawn)
    }

    #[test]
    fn the_report_is_one_file_that_asks_for_nothing() {
        let (demo, drawn) = sample();
        let page = html(&demo, &drawn);
        assert_eq!(page.matches("<svg").count(), 4);
        assert_eq!(page.matches("viewBox").count(), 4);
        for forbidden in ["http://", "https://", "<script", "<link", "@import", "url("] {
            let found =
                page.replace("http://www.w3.org/2000/svg", "").replace("url(#", "").contains(forbidden);
            assert!(!found, "the report contains {forbidden}");
        }
        for expected in
            ["prefers-color-scheme: dark", "var(--plot-1)", "2015-01-15", &demo.chain.tip_hash, "51.0 %"]
        {
            assert!(page.contains(expected), "the report lacks {expected}");
        }
    }

    /// As with a threshold that leaves no move, or one.
    #[test]
    fn days_without_moves_can_be_drawn() {
        let (mut demo, mut drawn) = sample();
        for one in [0.0, 0.52] {
            drawn.norms.fill(0.0);
            drawn.norms[5_000] = one;
            drawn.members = vec![7_126];
            drawn.alike.iter_mut().flatten().for_each(|(_, returns)| returns.fill(0.0));
            demo.drift.clear();
            assert!(html(&demo, &drawn).contains("How far each day moved"));
        }
    }

    #[test]
    fn text_cannot_leave_its_element() {
        let (mut demo, drawn) = sample();
        demo.data.source = "<b onclick=\"x\">&";
        let page = html(&demo, &drawn);
        assert!(page.contains("&lt;b onclick=&quot;x&quot;&gt;&amp;") && !page.contains("<b onclick"));
    }
}
