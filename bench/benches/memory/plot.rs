//! Curves as SVG, for people to look at beside the tables.

use std::path::Path;

use plotters::prelude::*;

/// One line of a plot: a value for each of some sizes.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What a plot is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Titles<'a> {
    pub(crate) title: &'a str,
    pub(crate) sizes: &'a str,
    pub(crate) values: &'a str,
}

/// Told apart by people who do not see all colours, too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Draws curves over sizes on a logarithmic axis; values begin at zero.
pub(crate) fn draw(path: &Path, titles: Titles<'_>, curves: &[Curve]) {
    let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    let least = points().map(|(size, _)| size).fold(f64::MAX, f64::min);
    let most = points().map(|(size, _)| size).fold(least, f64::max);
    let highest = points().map(|(_, value)| value).fold(0.0, f64::max);
    let root = SVGBackend::new(path, (860, 480)).into_drawing_area();
    root.fill(&WHITE).expect("a plot");
    let mut chart = ChartBuilder::on(&root)
        .caption(titles.title, ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), 0.0..highest * 1.15)
        .expect("a plot");
    chart
        .configure_mesh()
        .x_desc(titles.sizes)
        .y_desc(titles.values)
        .x_label_formatter(&|size| short(*size))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .light_line_style(WHITE)
        .label_style(("sans-serif", 14))
        .draw()
        .expect("a plot");
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(line)
            .expect("a line")
            .label(&curve.name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        let dots = curve.points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
        chart.draw_series(dots).expect("dots");
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()
        .expect("a legend");
    root.present().expect("a file to write");
}

/// 1, 10k, 4M.
pub(crate) fn short(size: f64) -> String {
    match size {
        1e6.. => format!("{}M", (size / 1e5).round() / 10.0),
        1e3.. => format!("{}k", (size / 1e2).round() / 10.0),
        _ => format!("{size:.0}"),
    }
}
