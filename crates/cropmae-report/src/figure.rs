//! The layout of figures: pictures in rows and columns, with captions.

use image::{Rgb, RgbImage, imageops};

use crate::draw::shrink_to_width;
use crate::error::ReportError;
use crate::text::{LINE_HEIGHT, draw_text, text_width};

const PAPER: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([0x24, 0x29, 0x2f]);
const FAINT: Rgb<u8> = Rgb([0x65, 0x6d, 0x76]);
const MARGIN: u32 = 16;
const GAP: u32 = 10;

/// Panels whose longer side is shorter than this, in pixels, are enlarged so that single patches are visible.
const MIN_SIDE: u32 = 224;
/// Panels wider than this, in pixels, are shrunk so that three columns fit on a wide screen.
const MAX_WIDTH: u32 = 640;

/// A figure under construction: pictures, called panels, in rows and columns with captions.
///
/// Text is drawn in a font that covers Latin-1. Other characters are drawn as question marks.
#[derive(Debug, Clone)]
pub struct Figure {
    columns: Vec<String>,
    rows: Vec<(String, Vec<RgbImage>)>,
}

impl Figure {
    /// Creates a figure without rows, which has one column for each caption. A caption may be empty.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has one panel for each column and a label in the left margin. The label may be empty.
    ///
    /// Panels whose longer side is shorter than 224 pixels are enlarged by a whole factor without smoothing.
    /// Panels wider than 640 pixels are shrunk to that width.
    #[must_use]
    pub fn row(mut self, label: impl Into<String>, panels: Vec<RgbImage>) -> Self {
        self.rows
            .push((label.into(), panels.iter().map(fitted).collect()));
        self
    }

    /// Draws the figure on a white background.
    ///
    /// # Errors
    ///
    /// Returns an error if the figure has no row or no column, or if the number of panels in a row is not the
    /// number of columns.
    pub fn render(&self) -> Result<RgbImage, ReportError> {
        if self.rows.is_empty() || self.columns.is_empty() {
            return Err(ReportError::Empty {
                what: "figure".into(),
                item: "row and column",
            });
        }
        for (label, panels) in &self.rows {
            if panels.len() != self.columns.len() {
                return Err(ReportError::Count {
                    what: "panels in a row of the figure",
                    found: panels.len(),
                    expected: self.columns.len(),
                    because: format!("columns {}, row {label:?}", self.columns.join(", ")),
                });
            }
        }
        let label_width = self
            .rows
            .iter()
            .map(|(l, _)| text_width(l))
            .max()
            .unwrap_or(0);
        let left = MARGIN
            + if label_width > 0 {
                label_width + GAP
            } else {
                0
            };
        let widths: Vec<u32> = self
            .columns
            .iter()
            .enumerate()
            .map(|(c, caption)| {
                let panels = self.rows.iter().map(|(_, panels)| panels[c].width());
                panels.max().unwrap_or(0).max(text_width(caption))
            })
            .collect();
        let heights: Vec<u32> = self
            .rows
            .iter()
            .map(|(_, panels)| panels.iter().map(RgbImage::height).max().unwrap_or(0))
            .collect();

        let captioned = self.columns.iter().any(|c| !c.is_empty());
        let top = MARGIN + if captioned { LINE_HEIGHT + GAP } else { 0 };
        let gaps = |n: usize| GAP * (n as u32 - 1);
        let width = left + widths.iter().sum::<u32>() + gaps(widths.len()) + MARGIN;
        let height = top + heights.iter().sum::<u32>() + gaps(heights.len()) + MARGIN;
        let mut canvas = RgbImage::from_pixel(width, height, PAPER);

        let mut x = left;
        for (caption, &w) in self.columns.iter().zip(&widths) {
            draw_text(
                &mut canvas,
                caption,
                x + (w - text_width(caption)) / 2,
                MARGIN,
                INK,
            );
            x += w + GAP;
        }
        let mut y = top;
        for ((label, panels), &h) in self.rows.iter().zip(&heights) {
            draw_text(
                &mut canvas,
                label,
                MARGIN,
                y + h.saturating_sub(LINE_HEIGHT) / 2,
                FAINT,
            );
            let mut x = left;
            for (panel, &w) in panels.iter().zip(&widths) {
                let (dx, dy) = ((w - panel.width()) / 2, (h - panel.height()) / 2);
                imageops::replace(&mut canvas, panel, i64::from(x + dx), i64::from(y + dy));
                x += w + GAP;
            }
            y += h + GAP;
        }
        Ok(canvas)
    }
}

/// Enlarges a small panel by a whole factor and shrinks a wide one.
fn fitted(panel: &RgbImage) -> RgbImage {
    let (width, height) = panel.dimensions();
    let factor = MIN_SIDE.div_ceil(width.max(height).max(1));
    if factor == 1 {
        return shrink_to_width(panel, MAX_WIDTH);
    }
    imageops::resize(
        panel,
        width * factor,
        height * factor,
        imageops::FilterType::Nearest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_land_on_the_grid_at_their_own_size() -> Result<(), ReportError> {
        let red = RgbImage::from_pixel(300, 240, Rgb([255, 0, 0]));
        let blue = RgbImage::from_pixel(300, 240, Rgb([0, 0, 255]));
        let figure = Figure::new(["a", "b"]).row("", vec![red, blue]).render()?;
        let top = MARGIN + LINE_HEIGHT + GAP;
        assert_eq!(
            figure.dimensions(),
            (2 * 300 + GAP + 2 * MARGIN, top + 240 + MARGIN)
        );
        assert_eq!(figure.get_pixel(MARGIN, top).0, [255, 0, 0]);
        assert_eq!(figure.get_pixel(MARGIN + 299, top + 239).0, [255, 0, 0]);
        assert_eq!(*figure.get_pixel(MARGIN + 300, top), PAPER);
        assert_eq!(figure.get_pixel(MARGIN + 300 + GAP, top).0, [0, 0, 255]);
        let caption = figure
            .enumerate_pixels()
            .filter(|(_, y, p)| *y < top && **p != PAPER);
        assert!(
            caption.count() > 20,
            "the captions are drawn above the panels"
        );
        Ok(())
    }

    #[test]
    fn narrow_panels_stand_in_the_middle_of_their_column() -> Result<(), ReportError> {
        let red = RgbImage::from_pixel(230, 10, Rgb([255, 0, 0]));
        let wide = RgbImage::new(250, 10);
        let figure = Figure::new([""])
            .row("", vec![wide])
            .row("", vec![red])
            .render()?;
        let y = MARGIN + 10 + GAP + 5;
        let row: Vec<u32> = (0..figure.width())
            .filter(|&x| figure.get_pixel(x, y).0 == [255, 0, 0])
            .collect();
        assert_eq!(row, (MARGIN + 10..MARGIN + 240).collect::<Vec<u32>>());
        Ok(())
    }

    #[test]
    fn tiny_panels_grow_by_whole_factors_and_wide_ones_shrink() {
        let mut tiny = RgbImage::new(64, 64);
        tiny.put_pixel(1, 0, Rgb([9, 9, 9]));
        let grown = fitted(&tiny);
        assert_eq!(grown.dimensions(), (256, 256));
        let marked = grown
            .enumerate_pixels()
            .filter(|(_, _, p)| p.0 == [9, 9, 9]);
        assert!(marked.clone().all(|(x, y, _)| (4..8).contains(&x) && y < 4));
        assert_eq!(marked.count(), 16);
        assert_eq!(fitted(&RgbImage::new(1280, 720)).dimensions(), (640, 360));
    }

    #[test]
    fn a_row_of_the_wrong_length_is_named() {
        let figure = Figure::new(["a", "b"]).row("frame 3", vec![RgbImage::new(8, 8)]);
        let message = figure.render().map(|_| ()).map_err(|e| e.to_string());
        let expected =
            "panels in a row of the figure: found 1, expected 2 (columns a, b, row \"frame 3\")";
        assert_eq!(message, Err(expected.to_string()));
        assert!(Figure::new(["a"]).render().is_err());
    }
}
