//! Draws a figure on any kind of surface.

use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::element::{CandleStick, Circle, PathElement, Rectangle};
use plotters::prelude::{DrawingBackend, IntoFont, TextStyle};
use plotters::series::LineSeries;
use plotters::style::{Color, FontDesc, ShapeStyle};

use super::axis::{Axis, Scale, shortened};
use super::theme::{Part, Theme};
use super::{Figure, Marks, Positions, Series};

type Error<B> = DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>;
type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Axis, Axis>>;

/// Pixels of the texts.
const TEXT: u32 = 16;
const TITLE: u32 = 21;

/// Pixels between the edge and everything else.
const MARGIN: u32 = 14;

/// Most bins of a histogram.
const MAX_BINS: usize = 50;

/// What is drawn, as numbers.
struct Drawing<'a> {
    figure: &'a Figure,
    theme: Theme,
    x: Vec<f64>,
    /// Half of the space between two places.
    half: f64,
}

pub(super) fn figure<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    figure: &Figure,
    theme: Theme,
) -> Result<(), Error<B>> {
    area.fill(&theme.colour(Part::Ground))?;
    let (x, scale) = match &figure.x {
        Positions::Numbers(values) => (values.clone(), Scale::Number),
        Positions::Times(values) => (values.clone(), Scale::Time),
        Positions::Names(names) => {
            ((0..names.len()).map(|at| at as f64).collect(), Scale::Names(names.clone()))
        }
    };
    let half = half_distance(&x);
    let drawing = Drawing { figure, theme, x, half };
    let (width, height) = area.dim_in_pixel();
    let bins = drawing.bins();
    let has_width = !matches!(figure.marks, Marks::Line(_) | Marks::Points(_));
    let edges = drawing.x.iter().flat_map(|x| if has_width { [x - half, x + half] } else { [*x, *x] });
    // What has a width needs no room at the edges, and no labels between its places.
    let (room, least) = if has_width { (0.0, half * 2.0) } else { (0.02, 0.0) };
    let x_axis = Axis::of(edges, scale, (width / 110).max(2) as usize, room, least);
    let values = drawing.values().chain(bins.iter().map(|bin| bin.2)).chain(drawing.base());
    let y_axis = Axis::of(values, Scale::Number, (height / 60).max(2) as usize, 0.04, 0.0);
    let text = |size: u32, part: Part| style(size, theme, part);
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        // The last label may stand out.
        .margin_right(MARGIN * 2)
        .caption(shortened(&figure.title, (width / 9) as usize), text(TITLE, Part::Text))
        .x_label_area_size(TEXT * 3)
        .y_label_area_size(TEXT * 5)
        .build_cartesian_2d(x_axis, y_axis)?;
    chart
        .configure_mesh()
        .x_labels((width / 110).max(2) as usize)
        .y_labels((height / 60).max(2) as usize)
        .light_line_style(theme.colour(Part::Grid).mix(0.0))
        .bold_line_style(theme.colour(Part::Grid))
        .axis_style(theme.colour(Part::Axis))
        .label_style(text(TEXT, Part::Text))
        .axis_desc_style(text(TEXT, Part::Text))
        .x_desc(figure.x_name.as_str())
        .y_desc(drawing.y_name())
        .draw()?;
    drawing.marks(&mut chart, &bins)?;
    if let Marks::Line(series) | Marks::Points(series) | Marks::Bars(series) = &figure.marks
        && series.len() > 1
    {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(theme.colour(Part::Ground).mix(0.85))
            .border_style(theme.colour(Part::Grid))
            .label_font(text(TEXT, Part::Text))
            .draw()?;
    }
    Ok(())
}

fn style(size: u32, theme: Theme, part: Part) -> TextStyle<'static> {
    let font: FontDesc<'static> = ("sans-serif", size).into_font();
    let colour = theme.colour(part);
    TextStyle { color: colour.to_backend_color(), ..TextStyle::from(font) }
}

/// Half of the smallest distance between two places.
fn half_distance(x: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = x.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let least = sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .map(|(one, next)| next - one)
        .filter(|distance| *distance > 0.0)
        .reduce(f64::min);
    least.unwrap_or(1.0) / 2.0
}

impl Drawing<'_> {
    /// All values of the vertical axis.
    fn values(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match &self.figure.marks {
            Marks::Line(series) | Marks::Points(series) | Marks::Bars(series) => {
                Box::new(series.iter().flat_map(|one| one.values.iter().flatten().copied()))
            }
            Marks::Candles(candles) => Box::new(candles.iter().flatten().flatten().copied()),
            Marks::Histogram => Box::new(std::iter::empty()),
        }
    }

    /// Bars begin at 0.
    fn base(&self) -> Option<f64> {
        matches!(self.figure.marks, Marks::Bars(_) | Marks::Histogram).then_some(0.0)
    }

    fn y_name(&self) -> &str {
        match &self.figure.marks {
            Marks::Line(series) | Marks::Points(series) | Marks::Bars(series) => match series.as_slice() {
                [only] => &only.name,
                _ => "",
            },
            Marks::Candles(_) => "",
            Marks::Histogram => "rows",
        }
    }

    /// The ranges of a histogram: from, to, and the number of rows.
    fn bins(&self) -> Vec<(f64, f64, f64)> {
        if self.figure.marks != Marks::Histogram || self.x.is_empty() {
            return Vec::new();
        }
        let finite = || self.x.iter().copied().filter(|x| x.is_finite());
        let (least, most) =
            (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        let count = ((self.x.len() as f64).sqrt().ceil() as usize).clamp(1, MAX_BINS);
        let width = if most > least { (most - least) / count as f64 } else { 1.0 };
        let mut bins: Vec<(f64, f64, f64)> =
            (0..count).map(|at| (least + at as f64 * width, least + (at + 1) as f64 * width, 0.0)).collect();
        for x in finite() {
            let at = (((x - least) / width) as usize).min(count - 1);
            if let Some(bin) = bins.get_mut(at) {
                bin.2 += 1.0;
            }
        }
        bins
    }

    fn colour(&self, number: usize) -> ShapeStyle {
        self.theme.colour(Part::Series(number)).stroke_width(2)
    }

    fn points<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
        let pairs = self.x.iter().zip(&series.values);
        pairs.filter_map(|(x, y)| Some((*x, (*y)?)).filter(|(x, y)| x.is_finite() && y.is_finite()))
    }

    fn marks<B: DrawingBackend>(
        &self,
        chart: &mut Chart<'_, B>,
        bins: &[(f64, f64, f64)],
    ) -> Result<(), Error<B>> {
        match &self.figure.marks {
            Marks::Line(series) => self.lines(chart, series),
            Marks::Points(series) => self.dots(chart, series),
            Marks::Bars(series) => self.bars(chart, series),
            Marks::Candles(candles) => self.candles(chart, candles),
            Marks::Histogram => {
                let colour = self.theme.colour(Part::Series(0)).filled();
                let bars = bins.iter().map(|(from, to, rows)| {
                    let gap = (to - from) * 0.04;
                    Rectangle::new([(from + gap, 0.0), (to - gap, *rows)], colour)
                });
                chart.draw_series(bars).map(drop)
            }
        }
    }

    fn lines<B: DrawingBackend>(&self, chart: &mut Chart<'_, B>, series: &[Series]) -> Result<(), Error<B>> {
        for (number, one) in series.iter().enumerate() {
            let style = self.colour(number);
            chart
                .draw_series(LineSeries::new(self.points(one), style))?
                .label(one.name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        Ok(())
    }

    fn dots<B: DrawingBackend>(&self, chart: &mut Chart<'_, B>, series: &[Series]) -> Result<(), Error<B>> {
        // Many points are smaller.
        let radius = if self.x.len() > 1000 { 2 } else { 3 };
        for (number, one) in series.iter().enumerate() {
            let style = self.theme.colour(Part::Series(number)).filled();
            chart
                .draw_series(self.points(one).map(|point| Circle::new(point, radius, style)))?
                .label(one.name.as_str())
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, style));
        }
        Ok(())
    }

    /// Bars of several series are next to one another.
    fn bars<B: DrawingBackend>(&self, chart: &mut Chart<'_, B>, series: &[Series]) -> Result<(), Error<B>> {
        let width = self.half * 1.7 / series.len().max(1) as f64;
        for (number, one) in series.iter().enumerate() {
            let style = self.theme.colour(Part::Series(number)).filled();
            let left = -self.half * 0.85 + number as f64 * width;
            chart
                .draw_series(
                    self.points(one)
                        .map(|(x, y)| Rectangle::new([(x + left, 0.0), (x + left + width, y)], style)),
                )?
                .label(one.name.as_str())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 16, y + 5)], style));
        }
        Ok(())
    }

    fn candles<B: DrawingBackend>(
        &self,
        chart: &mut Chart<'_, B>,
        candles: &[[Option<f64>; 4]],
    ) -> Result<(), Error<B>> {
        let (up, down) = (self.theme.colour(Part::Up), self.theme.colour(Part::Down));
        let pixels = f64::from(chart.plotting_area().dim_in_pixel().0);
        let range = chart.plotting_area().get_x_range();
        let width = (pixels * self.half * 1.4 / (range.end - range.start)).clamp(1.0, 40.0) as u32;
        let drawn = self.x.iter().zip(candles).filter_map(|(x, [open, high, low, close])| {
            let (open, high, low, close) = ((*open)?, (*high)?, (*low)?, (*close)?);
            // One without a change is drawn like a rise, with a line for its body.
            let (gain, loss) = if close >= open { (up, up) } else { (down, down) };
            Some(CandleStick::new(*x, open, high, low, close, gain.filled(), loss.filled(), width))
        });
        chart.draw_series(drawn)?;
        let unchanged = self.x.iter().zip(candles).filter_map(|(x, [open, _, _, close])| {
            let (open, close) = ((*open)?, (*close)?);
            let ends = [(x - self.half * 0.7, open), (x + self.half * 0.7, open)];
            (open == close).then(|| PathElement::new(ends, up))
        });
        chart.draw_series(unchanged).map(drop)
    }
}
