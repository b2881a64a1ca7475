//! One kind of plot, points and lines over two axes, as inline SVG.
//!
//! Colours are CSS variables of the page, so that one drawing serves light and dark. What has no place on
//! an axis (a zero on a logarithmic one, a number that is not finite) is left out.

use std::fmt::Write;

use super::escape;

const WIDTH: f64 = 1_100.0;
/// Where the axes lie; the legend stands to the right of them.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 320.0;
/// How many colours the page has.
const COLOURS: usize = 6;

/// A plot.
#[derive(Debug, Default)]
pub(super) struct Chart {
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// Vertical lines with a name.
    pub marks: Vec<(f64, String)>,
}

/// What an axis shows and how.
#[derive(Debug, Default)]
pub(super) struct Axis {
    pub label: String,
    pub logarithmic: bool,
}

/// Points of one colour, by ascending x.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// Whether only a line is drawn, without dots, as for a limit.
    pub limit: bool,
}

impl Axis {
    pub(super) fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), logarithmic: false }
    }

    pub(super) fn logarithmic(label: &str) -> Self {
        Self { label: label.to_owned(), logarithmic: true }
    }

    fn holds(&self, value: f64) -> bool {
        value.is_finite() && (!self.logarithmic || value > 0.0)
    }
}

impl Chart {
    /// The plot as SVG; `None` where there is nothing to draw.
    pub(super) fn svg(&self) -> Option<String> {
        let fits = |&&(x, y): &&(f64, f64)| self.x.holds(x) && self.y.holds(y);
        let points = || self.series.iter().flat_map(|series| series.points.iter().filter(fits));
        let x = Scale::new(&self.x, points().map(|point| point.0), LEFT, RIGHT)?;
        let y = Scale::new(&self.y, points().map(|point| point.1), BOTTOM, TOP)?;
        let height = (BOTTOM + 56.0).max(TOP + 20.0 * self.series.len() as f64 + 20.0);
        let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n");
        self.axes(&mut out, &x, &y);
        for (at, name) in self.marks.iter().filter(|(at, _)| self.x.holds(*at)) {
            let at = x.place(*at);
            let _ = writeln!(
                out,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\" stroke=\"var(--text)\" \
                 stroke-dasharray=\"2 3\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
                at + 5.0,
                TOP + 12.0,
                escape(name)
            );
        }
        for (number, series) in self.series.iter().enumerate() {
            let places: Vec<_> =
                series.points.iter().filter(fits).map(|p| (p, x.place(p.0), y.place(p.1))).collect();
            let colour = format!("var(--plot-{})", number % COLOURS);
            let dashes = if series.limit || number >= COLOURS { " stroke-dasharray=\"6 4\"" } else { "" };
            let path = places.iter().map(|(_, x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                out,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dashes}/>"
            );
            let name = escape(&series.name);
            for ((px, py), x, y) in places.iter().filter(|_| !series.limit) {
                let _ = writeln!(
                    out,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"><title>{name}: {}, {}</title></circle>",
                    short(*px),
                    short(*py)
                );
            }
            let (line, text) = (TOP + 8.0 + 20.0 * number as f64, TOP + 12.0 + 20.0 * number as f64);
            let _ = writeln!(
                out,
                "<line x1=\"{}\" x2=\"{}\" y1=\"{line}\" y2=\"{line}\" stroke=\"{colour}\" stroke-width=\"3\"{dashes}/>\
                 <text x=\"{}\" y=\"{text}\">{name}</text>",
                RIGHT + 20.0,
                RIGHT + 44.0,
                RIGHT + 52.0
            );
        }
        out.push_str("</svg>\n");
        Some(out)
    }

    fn axes(&self, out: &mut String, x: &Scale, y: &Scale) {
        for tick in x.ticks() {
            let at = x.place(tick);
            let _ = writeln!(
                out,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\" stroke=\"var(--grid)\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 18.0,
                short(tick)
            );
        }
        for tick in y.ticks() {
            let at = y.place(tick);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"var(--grid)\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                short(tick)
            );
        }
        let middle = f64::midpoint(TOP, BOTTOM);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text x=\"14\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {middle})\">{}</text>",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 40.0,
            escape(&self.x.label),
            escape(&self.y.label)
        );
    }
}

/// Where numbers lie on an axis.
struct Scale {
    logarithmic: bool,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// An axis a little wider than its numbers; `None` where there are none.
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let inner = |value: f64| if axis.logarithmic { value.log10() } else { value };
        let (least, most) = values
            .map(inner)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), v| (least.min(v), most.max(v)));
        let margin = if most > least { (most - least) * 0.05 } else { least.abs().max(1.0) * 0.1 };
        (least <= most).then_some(Self {
            logarithmic: axis.logarithmic,
            least: least - margin,
            most: most + margin,
            from,
            to,
        })
    }

    fn place(&self, value: f64) -> f64 {
        let inner = if self.logarithmic { value.log10() } else { value };
        self.from + (inner - self.least) / (self.most - self.least) * (self.to - self.from)
    }

    /// Round numbers inside the axis.
    fn ticks(&self) -> Vec<f64> {
        let span = self.most - self.least;
        let mut ticks = Vec::new();
        if self.logarithmic {
            let digits: &[f64] = if span > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            // At most 600 decades fit f64.
            for decade in self.least.floor() as i32..=self.most.ceil() as i32 {
                ticks.extend(digits.iter().map(|digit| digit * 10f64.powi(decade)));
            }
            ticks.retain(|tick| (self.least..=self.most).contains(&tick.log10()));
        } else {
            let rough = 10f64.powf((span / 5.0).log10().floor());
            let step =
                [1.0, 2.0, 5.0, 10.0].map(|digit| digit * rough).into_iter().find(|step| span / step <= 6.0);
            let step = step.unwrap_or(span);
            let first = (self.least / step).ceil();
            ticks.extend((0..8).map(|n| (first + f64::from(n)) * step).filter(|&tick| tick <= self.most));
        }
        ticks
    }
}

/// Three digits and a decimal prefix.
fn short(value: f64) -> String {
    let steps =
        [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n")];
    let size = value.abs() * 1.000_001;
    let Some((scale, prefix)) = steps.into_iter().find(|&(scale, _)| size >= scale) else {
        return if size == 0.0 { "0".to_owned() } else { format!("{value:.1e}") };
    };
    // Below one thousandth prefixes help; just below one they do not.
    let (scale, prefix) = if prefix == "m" { (1.0, "") } else { (scale, prefix) };
    let text = format!("{:.3}", value / scale);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let series = vec![Series { name: "a < b & \"c\"".to_owned(), points, limit: false }];
        Chart {
            x: Axis::logarithmic("x"),
            y: Axis::linear("y"),
            series,
            marks: vec![(2.0, "here".to_owned())],
        }
    }

    #[test]
    fn every_point_with_a_place_is_drawn_inside_the_axes() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (1.0, 0.0), (10.0, 5.0), (1e6, -3.0)];
        let svg = chart(points).svg().unwrap();
        assert_eq!(
            svg.matches("<circle").count(),
            3,
            "a zero on the logarithmic axis and a NaN have no place"
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"));
    }

    #[test]
    fn nothing_to_draw_is_said_and_one_point_is_enough() {
        assert!(chart(Vec::new()).svg().is_none() && chart(vec![(0.0, 1.0)]).svg().is_none());
        assert!(!chart(vec![(1.0, 0.0)]).svg().unwrap().contains("NaN"));
        assert!(!chart(vec![(1.0, 5e300), (1e-300, -5e300)]).svg().unwrap().contains("NaN"));
    }

    #[test]
    fn labels_are_short() {
        let texts = [0.0, 0.05, 1.0, 1_024.0, 2.5e9, 3e-7].map(short);
        assert_eq!(texts, ["0", "0.05", "1", "1.024k", "2.5G", "300n"]);
    }
}
