//! The plots of the report as inline SVG. The only place that names kuva.
//!
//! Colours are CSS variables of the page, so that one drawing serves light and dark.

use kuva::plot::{BarPlot, ColorMap, Heatmap, LinePlot, ScatterPlot, StackedAreaPlot};
use kuva::prelude::LegendPosition;
use kuva::render::annotations::TextAnnotation;
use kuva::render::datetime::DateTimeAxis;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::theme::Theme;
use tensor_datasets::Date;

/// Width of every plot in SVG units; the page scales it to its own.
const WIDTH: f64 = 1_060.0;

/// One part of a stacked whole: what it is called and its CSS colour.
pub(super) struct Share<'a> {
    pub name: &'a str,
    pub color: &'a str,
    pub values: Vec<f64>,
}

/// A value per day on a logarithmic axis, with some days named.
pub(super) fn over_time(values: &[(Date, f64)], named: &[(Date, f64, String)], y_label: &str) -> String {
    // A logarithmic axis has no place for zero, and none at all where everything is zero.
    let line: Vec<(f64, f64)> =
        values.iter().filter(|(_, value)| *value > 0.0).map(|&(day, value)| (seconds(day), value)).collect();
    if line.is_empty() {
        return String::new();
    }
    let peaks = named.iter().map(|&(day, value, _)| (seconds(day), value));
    let plots: Vec<Plot> = vec![
        LinePlot::new().with_data(line).with_color("var(--plot-1)").with_stroke_width(0.6).into(),
        ScatterPlot::new().with_data(peaks).with_color("var(--plot-4)").with_size(3.5).into(),
    ];
    let mut layout = in_time(layout(&plots, 340.0), values.iter().map(|&(day, _)| day))
        .with_log_y()
        .with_y_label(y_label)
        .with_y_tick_format(TickFormat::Custom(std::sync::Arc::new(|value| format!("{value}"))));
    for (day, value, name) in named {
        let label = TextAnnotation::new(name.as_str(), seconds(*day), *value);
        layout = layout.with_annotation(label.with_color("var(--text)").with_font_size(11));
    }
    render(plots, layout)
}

/// Shares of a whole over time, stacked to 100 %.
pub(super) fn shares(days: &[Date], series: &[Share<'_>]) -> String {
    let mut plot = StackedAreaPlot::new().with_x(days.iter().map(|&day| seconds(day))).with_normalized();
    for Share { name, color, values } in series {
        plot = plot.with_series(values.iter().copied()).with_color(*color).with_legend(*name);
    }
    let plots: Vec<Plot> = vec![plot.with_fill_opacity(0.85).with_strokes(false).into()];
    let layout = in_time(layout(&plots, 300.0), days.iter().copied())
        .with_y_label("% of pairs")
        .with_legend_position(LegendPosition::OutsideBottomColumns)
        .with_legend_box(false)
        .with_clamp_axis();
    render(plots, layout)
}

/// Signed rows against columns; strength of colour grows with the root of the magnitude.
pub(super) fn signed_grid(rows: &[(String, Vec<f64>)], columns: &[String]) -> String {
    let all = || rows.iter().flat_map(|(_, values)| values).copied();
    let (least, most) = (all().fold(0.0, f64::min), all().fold(0.0, f64::max));
    let scale = most.max(-least).max(f64::MIN_POSITIVE);
    let color = move |t: f64| {
        let value = (least + t * (most - least)) / scale;
        let side = if value < 0.0 { "var(--down)" } else { "var(--up)" };
        format!("color-mix(in srgb, {side} {:.0}%, var(--panel))", value.abs().sqrt() * 100.0)
    };
    // kuva draws the first row at the bottom.
    let data: Vec<Vec<f64>> = rows.iter().rev().map(|(_, values)| values.clone()).collect();
    let names: Vec<String> = rows.iter().rev().map(|(name, _)| name.clone()).collect();
    let map = ColorMap::Custom(std::sync::Arc::new(color));
    let plots: Vec<Plot> = vec![Heatmap::new().with_data(data).with_color_map(map).into()];
    let layout = layout(&plots, 130.0 + 26.0 * rows.len() as f64)
        .with_x_categories(columns.to_vec())
        .with_y_categories(names)
        .with_x_tick_rotate(-90.0)
        .with_show_grid(false);
    render(plots, layout)
}

/// One bar per label.
pub(super) fn bars(bars: &[(String, f64)], x_label: &str, y_label: &str) -> String {
    let bars: Vec<_> = bars.iter().map(|(label, value)| (label.as_str(), *value)).collect();
    let plots: Vec<Plot> = vec![BarPlot::new().with_bars(bars).with_color("var(--plot-2)").into()];
    let layout = layout(&plots, 260.0).with_x_label(x_label).with_y_label(y_label);
    render(plots, layout)
}

/// A layout of the page's width whose colours are the page's.
fn layout(plots: &[Plot], height: f64) -> Layout {
    let theme = Theme {
        background: "none".into(),
        axis_color: "var(--line)".into(),
        grid_color: "var(--grid)".into(),
        tick_color: "var(--line)".into(),
        text_color: "var(--text)".into(),
        legend_bg: "none".into(),
        legend_border: "none".into(),
        colorbar_border: "var(--line)".into(),
        ..Theme::light()
    };
    Layout::auto_from_plots(plots)
        .with_theme(theme)
        .with_width(WIDTH)
        .with_height(height)
        .with_font_family("inherit")
        .with_tick_size(11)
        .with_label_size(12)
}

/// A horizontal axis of years that begins and ends with the days it shows.
fn in_time(layout: Layout, days: impl Iterator<Item = Date> + Clone) -> Layout {
    let layout = layout.with_x_datetime(DateTimeAxis::years("%Y").with_step(3));
    match (days.clone().min(), days.max()) {
        (Some(first), Some(last)) => layout.with_x_axis_min(seconds(first)).with_x_axis_max(seconds(last)),
        _ => layout,
    }
}

/// Draws, and lets the page decide on the size.
fn render(plots: Vec<Plot>, layout: Layout) -> String {
    let svg = kuva::render_to_svg(plots, layout);
    let size = |name: &str| {
        let start = svg.find(&format!(" {name}=\""))? + name.len() + 3;
        svg[start..].split('"').next()
    };
    match (size("width"), size("height")) {
        (Some(width), Some(height)) => svg.replacen(
            &format!(" width=\"{width}\" height=\"{height}\""),
            &format!(" viewBox=\"0 0 {width} {height}\" role=\"img\""),
            1,
        ),
        _ => svg,
    }
}

/// Midnight UTC of a day in seconds, as kuva's time axis counts.
fn seconds(day: Date) -> f64 {
    day.unix_ms() as f64 / 1e3
}
