//! Colours, in light and in dark.

use std::fmt::Write;

use plotters::style::RGBColor;

/// Whether a figure is on a light or a dark ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

/// What has a colour. Each colour of the light theme is used for one of them only, so that the style sheet can replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Ground,
    Text,
    Axis,
    Grid,
    /// A candle whose close is not below its open, and one whose close is.
    Up,
    Down,
    Series(usize),
}

/// The colours of each part in both themes: the palette of Okabe and Ito, which people with any colour vision can tell apart, with
/// brighter ones in the dark.
const PARTS: [(Part, [u8; 3], [u8; 3]); 14] = [
    (Part::Ground, [0xff, 0xff, 0xff], [0x12, 0x16, 0x1c]),
    (Part::Text, [0x1d, 0x23, 0x2b], [0xe4, 0xe8, 0xee]),
    (Part::Axis, [0x8a, 0x93, 0x9e], [0x6d, 0x77, 0x84]),
    (Part::Grid, [0xe6, 0xe9, 0xed], [0x2a, 0x31, 0x3a]),
    (Part::Up, [0x00, 0x7f, 0x5c], [0x2f, 0xc1, 0x95]),
    (Part::Down, [0xc4, 0x3d, 0x2f], [0xff, 0x7b, 0x6b]),
    (Part::Series(0), [0x00, 0x6a, 0xb0], [0x5d, 0xb2, 0xf5]),
    (Part::Series(1), [0xd2, 0x5a, 0x00], [0xff, 0x98, 0x4a]),
    (Part::Series(2), [0x00, 0x88, 0x66], [0x35, 0xc9, 0x9f]),
    (Part::Series(3), [0xae, 0x4f, 0x86], [0xe8, 0x92, 0xc4]),
    (Part::Series(4), [0x6b, 0x4f, 0xbb], [0xab, 0x94, 0xf2]),
    (Part::Series(5), [0x8a, 0x6d, 0x00], [0xe3, 0xc5, 0x3c]),
    (Part::Series(6), [0x21, 0x7f, 0x9e], [0x6f, 0xd0, 0xe8]),
    (Part::Series(7), [0x5b, 0x63, 0x6d], [0xad, 0xb5, 0xbf]),
];

impl Theme {
    pub(super) fn colour(self, part: Part) -> RGBColor {
        let part = match part {
            Part::Series(number) => Part::Series(number % 8),
            part => part,
        };
        let found = PARTS.iter().find(|(known, ..)| *known == part);
        let [red, green, blue] = found.map_or([0; 3], |(_, light, dark)| match self {
            Self::Light => *light,
            Self::Dark => *dark,
        });
        RGBColor(red, green, blue)
    }
}

/// Returns the title for screen readers, and the style sheet of an SVG: its text in the reader's font, its colours replaced in dark mode.
pub(super) fn style_sheet(title: &str) -> String {
    let mut text =
        format!("<title>{}</title><style>text{{font-family:system-ui,sans-serif}}", escaped(title));
    text.push_str("@media(prefers-color-scheme:dark){");
    for (_, light, dark) in PARTS {
        let [light, dark] =
            [light, dark].map(|[red, green, blue]| format!("#{red:02X}{green:02X}{blue:02X}"));
        // Writing to memory cannot fail.
        let _ = write!(text, "[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    text.push_str("}</style>");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
