//! Draws figures as SVG and PNG.
//!
//! `plotters` draws. An SVG names a generic font and has the colours of dark mode in its style sheet. A PNG has one theme, and the font
//! DejaVu Sans, which is in the binary: no system font is needed.

mod axis;
mod draw;
mod number;
mod theme;

use std::sync::OnceLock;

use plotters::prelude::{BitMapBackend, IntoDrawingArea, SVGBackend};
use plotters::style::{FontStyle, register_font};
use thiserror::Error;

pub use self::theme::Theme;

/// Most rows that are drawn.
pub const MAX_POINTS: usize = 10_000;

/// The width and height of a figure, in pixels.
pub const SIDES: std::ops::RangeInclusive<u32> = 160..=4096;

/// Most pixels of a figure.
const MAX_PIXELS: u32 = 1 << 23;

/// A figure cannot be drawn.
#[derive(Debug, Error)]
pub enum PlotError {
    #[error("a figure has at most {MAX_PIXELS} pixels")]
    TooLarge,
    #[error("the figure cannot be drawn: {0}")]
    Failed(String),
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub title: String,
    pub x_name: String,
    pub x: Positions,
    pub marks: Marks,
}

/// The places on the horizontal axis, one for each row.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    Numbers(Vec<f64>),
    /// Milliseconds since 1970.
    Times(Vec<f64>),
    /// Texts, next to one another.
    Names(Vec<String>),
}

/// What is drawn at these places.
#[derive(Clone, Debug, PartialEq)]
pub enum Marks {
    Line(Vec<Series>),
    Points(Vec<Series>),
    Bars(Vec<Series>),
    /// Open, high, low and close of each row.
    Candles(Vec<[Option<f64>; 4]>),
    /// The number of rows in each range of x.
    Histogram,
}

/// A value for each row. None leaves a gap.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { width: 900, height: 480 }
    }
}

impl Positions {
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) | Self::Times(values) => values.len(),
            Self::Names(names) => names.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Draws a figure as SVG, light or dark as the browser is.
///
/// # Errors
/// It is too large.
pub fn svg(figure: &Figure, size: Size) -> Result<String, PlotError> {
    prepare(size)?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (size.width, size.height)).into_drawing_area();
        draw::figure(&area, figure, Theme::Light).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    // After the opening tag.
    let at = text.find("<svg").and_then(|from| Some(from + text.get(from..)?.find('>')? + 1)).unwrap_or(0);
    text.insert_str(at, &theme::style_sheet(&figure.title));
    Ok(text)
}

/// Draws a figure as PNG.
///
/// # Errors
/// It is too large.
pub fn png(figure: &Figure, size: Size, theme: Theme) -> Result<Vec<u8>, PlotError> {
    prepare(size)?;
    let mut pixels = vec![0; size.width as usize * size.height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (size.width, size.height)).into_drawing_area();
        draw::figure(&area, figure, theme).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError::Failed(error.to_string())
}

fn prepare(size: Size) -> Result<(), PlotError> {
    static FONT: OnceLock<bool> = OnceLock::new();
    let has_font =
        FONT.get_or_init(|| register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_ok());
    if !has_font {
        return Err(PlotError::Failed("the font cannot be read".to_owned()));
    }
    if size.width.saturating_mul(size.height) > MAX_PIXELS { Err(PlotError::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[Option<f64>]) -> Series {
        Series { name: name.to_owned(), values: values.to_vec() }
    }

    /// A figure of each kind, with empty, single, missing, huge and equal values.
    fn figures() -> Vec<Figure> {
        let figure = |x: Positions, marks: Marks| Figure {
            title: "Values & <more>".to_owned(),
            x_name: "place".to_owned(),
            x,
            marks,
        };
        let numbers = |values: &[f64]| Positions::Numbers(values.to_vec());
        let mut figures = Vec::new();
        for values in [&[][..], &[1.0], &[5e37, -5e37], &[1.0, 1.0, 1.0], &[f64::NAN, 1.0]] {
            let y = || {
                vec![series("one", &vec![Some(1.0); values.len()]), series("two", &vec![None; values.len()])]
            };
            figures.push(figure(numbers(values), Marks::Line(y())));
            figures.push(figure(numbers(values), Marks::Points(y())));
            figures.push(figure(Positions::Times(values.to_vec()), Marks::Bars(y())));
            figures.push(figure(numbers(values), Marks::Histogram));
            let candle = [Some(1.0), Some(3.0), Some(0.5), Some(2.0)];
            figures
                .push(figure(Positions::Times(values.to_vec()), Marks::Candles(vec![candle; values.len()])));
        }
        let names = ["a", "<script>alert(1)</script>", "a very long name that is cut"].map(str::to_owned);
        figures.push(figure(Positions::Names(names.into()), Marks::Bars(vec![series("n", &[Some(1.0); 3])])));
        figures
    }

    #[test]
    fn every_figure_is_an_svg_without_scripts_and_a_png_of_its_size() {
        for figure in figures() {
            for size in [Size::default(), Size { width: 160, height: 160 }] {
                let text = svg(&figure, size).unwrap();
                assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{figure:?}");
                assert!(
                    text.contains("<title>Values &amp; &lt;more&gt;</title>") && !text.contains("<script")
                );
                assert!(text.contains("prefers-color-scheme:dark") && !text.contains("NaN"));
                let image = png(&figure, size, Theme::Dark).unwrap();
                let reader = png::Decoder::new(std::io::Cursor::new(image)).read_info().unwrap();
                assert_eq!((reader.info().width, reader.info().height), (size.width, size.height));
            }
        }
        let large = Size { width: 4096, height: 4096 };
        assert!(matches!(svg(&figures()[0], large), Err(PlotError::TooLarge)));
    }

    #[test]
    fn a_candle_without_a_change_has_a_line_for_its_body() {
        let lines = |close: f64| {
            let candle = [Some(1.0), Some(3.0), Some(0.5), Some(close)];
            let figure = Figure {
                title: String::new(),
                x_name: "time".to_owned(),
                x: Positions::Times(vec![0.0, 60.0]),
                marks: Marks::Candles(vec![candle; 2]),
            };
            svg(&figure, Size::default()).unwrap().matches("<polyline").count()
        };
        assert_eq!(lines(1.0), lines(2.0) + 2);
    }

    #[test]
    fn each_colour_of_an_svg_has_one_in_dark_mode() {
        let figure = Figure {
            title: String::new(),
            x_name: "x".to_owned(),
            x: Positions::Numbers(vec![1.0, 2.0]),
            marks: Marks::Line((0..8).map(|_| series("y", &[Some(1.0), Some(2.0)])).collect()),
        };
        let text = svg(&figure, Size::default()).unwrap();
        let (style, drawing) = text.split_once("</style>").unwrap();
        let colours = drawing.split(['"', ' ']).filter(|word| word.starts_with('#'));
        let mut count = 0;
        for colour in colours {
            assert!(style.contains(&format!("[fill=\"{colour}\"]")), "{colour}");
            count += 1;
        }
        assert!(count > 20);
    }
}
