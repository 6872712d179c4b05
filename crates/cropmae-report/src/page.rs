//! A self-contained HTML page.
//!
//! The page has no scripts, fetches nothing and embeds its pictures, so it can be opened from disk, mailed, or put on
//! any web server. It follows the reader's light or dark setting.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;

use crate::curves::Chart;
use crate::error::ReportError;
use crate::html::escape;

/// Pictures whose PNG is larger than this are embedded as JPEG, so that a page stays at a few megabytes.
const MAX_PNG_BYTES: usize = 256 << 10;
const JPEG_QUALITY: u8 = 92;

/// A table of text.
///
/// A column is aligned to the right if all of its cells are numbers, `-` or empty, and at least one is a number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The caption above the table. An empty caption is left out.
    pub caption: String,
    /// The headings of the columns.
    pub columns: Vec<String>,
    /// The rows, each of which has as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// A page under construction, whose parts appear in the order in which they are added.
///
/// All text given to a page is plain text; the page escapes it for HTML.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    head: String,
    sections: Vec<String>,
}

impl Page {
    /// Creates a page with a title and a sentence below it.
    pub fn new(title: &str, lead: &str) -> Self {
        let head = format!(
            "<h1>{}</h1>\n<p class=\"lead\">{}</p>\n",
            escape(title),
            escape(lead)
        );
        Self {
            title: escape(title),
            head,
            sections: Vec::new(),
        }
    }

    /// Adds the most important values of the page as (name, value), in large type under the title.
    pub fn tiles(&mut self, tiles: &[(&str, String)]) {
        self.head += "<dl class=\"tiles\">\n";
        for (name, value) in tiles {
            let (name, value) = (escape(name), escape(value));
            self.head += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
        }
        self.head += "</dl>\n";
    }

    /// Starts a section with a heading.
    pub fn section(&mut self, heading: &str) {
        self.sections
            .push(format!("<h2>{}</h2>\n", escape(heading)));
    }

    /// Adds a paragraph to the current section.
    pub fn paragraph(&mut self, text: &str) {
        self.add(&format!("<p>{}</p>\n", escape(text)));
    }

    /// Adds a chart. Consecutive charts stand side by side where the window is wide enough.
    ///
    /// # Errors
    ///
    /// Returns an error if no series of the chart has a finite point.
    pub fn chart(&mut self, chart: &Chart) -> Result<(), ReportError> {
        let svg = chart.svg()?;
        self.add(&format!("<div class=\"chart\">{svg}</div>\n"));
        Ok(())
    }

    /// Adds a table.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of cells in a row is not the number of columns.
    pub fn table(&mut self, table: &Table) -> Result<(), ReportError> {
        let html = table.html()?;
        self.add(&html);
        Ok(())
    }

    /// Adds a table that is hidden until the reader clicks on `summary`.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of cells in a row is not the number of columns.
    pub fn folded_table(&mut self, summary: &str, table: &Table) -> Result<(), ReportError> {
        let (summary, html) = (escape(summary), table.html()?);
        self.add(&format!(
            "<details><summary>{summary}</summary>\n{html}</details>\n"
        ));
        Ok(())
    }

    /// Adds a picture with a caption.
    ///
    /// The picture is embedded as PNG if that takes at most 256 KiB, and otherwise as JPEG of quality 92.
    ///
    /// # Errors
    ///
    /// Returns an error if the picture cannot be encoded, for example because it is empty.
    pub fn picture(&mut self, caption: &str, picture: &RgbImage) -> Result<(), ReportError> {
        let failed = |source| ReportError::Encode {
            what: "picture",
            source,
        };
        let mut bytes = Vec::new();
        picture
            .write_with_encoder(PngEncoder::new(&mut bytes))
            .map_err(failed)?;
        if bytes.len() <= MAX_PNG_BYTES {
            self.embed(caption, "image/png", &bytes);
            return Ok(());
        }
        bytes.clear();
        let jpeg = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        picture.write_with_encoder(jpeg).map_err(failed)?;
        self.embed(caption, "image/jpeg", &bytes);
        Ok(())
    }

    /// Adds an animation with a caption; `gif` is a GIF file, such as [`gif`](crate::gif) returns.
    pub fn animation(&mut self, caption: &str, gif: &[u8]) {
        self.embed(caption, "image/gif", gif);
    }

    /// Returns the page as HTML text.
    pub fn render(&self) -> String {
        let sections: Vec<String> = self
            .sections
            .iter()
            .map(|s| format!("<section>\n{s}</section>\n"))
            .collect();
        // With this policy, the browser enforces that nothing is fetched and no script runs.
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
             <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n{}</header>\n\
             <main>\n{}</main>\n</body>\n</html>\n",
            self.title,
            include_str!("page.css"),
            self.head,
            sections.concat(),
        )
    }

    /// Adds an encoded picture to the current section, as a data URL.
    fn embed(&mut self, caption: &str, mime: &str, bytes: &[u8]) {
        let (caption, data) = (escape(caption), BASE64_STANDARD.encode(bytes));
        self.add(&format!(
            "<figure><img alt=\"{caption}\" src=\"data:{mime};base64,{data}\">\
             <figcaption>{caption}</figcaption></figure>\n"
        ));
    }

    /// Adds HTML to the current section. If no section has been started, this starts one without a heading.
    fn add(&mut self, html: &str) {
        match self.sections.last_mut() {
            Some(section) => section.push_str(html),
            None => self.sections.push(html.to_string()),
        }
    }
}

impl Table {
    /// Returns the table as HTML, or an error if the number of cells in a row is not the number of columns.
    fn html(&self) -> Result<String, ReportError> {
        if let Some(row) = self.rows.iter().find(|r| r.len() != self.columns.len()) {
            return Err(ReportError::Count {
                what: "cells in a row of the table",
                found: row.len(),
                expected: self.columns.len(),
                because: format!("table {:?}, row {:?}", self.caption, row.join(", ")),
            });
        }
        let class: Vec<&str> = (0..self.columns.len())
            .map(|c| {
                let mut filled = self
                    .rows
                    .iter()
                    .map(|r| r[c].as_str())
                    .filter(|v| !v.is_empty());
                let numeric = |v: &str| v.parse::<f64>().is_ok() || v == "-";
                let any = self.rows.iter().any(|r| r[c].parse::<f64>().is_ok());
                if any && filled.all(numeric) {
                    " class=\"number\""
                } else {
                    ""
                }
            })
            .collect();
        let line = |tag: &str, cells: &[String]| {
            let cells = cells.iter().zip(&class);
            let cells: Vec<String> = cells
                .map(|(v, class)| format!("<{tag}{class}>{}</{tag}>", escape(v)))
                .collect();
            format!("<tr>{}</tr>\n", cells.concat())
        };
        let rows: Vec<String> = self.rows.iter().map(|row| line("td", row)).collect();
        let caption = match self.caption.as_str() {
            "" => String::new(),
            text => format!("<caption>{}</caption>\n", escape(text)),
        };
        Ok(format!(
            "<div class=\"scroll\"><table>\n{caption}<thead>{}</thead>\n<tbody>\n{}</tbody>\n</table></div>\n",
            line("th", &self.columns),
            rows.concat(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curves::Series;
    use image::Rgb;

    const NASTY: &str = "<img src=x onerror=\"a('&')\">";

    fn full_page() -> Result<String, ReportError> {
        let mut page = Page::new(NASTY, NASTY);
        page.tiles(&[(NASTY, NASTY.into())]);
        page.section(NASTY);
        page.paragraph(NASTY);
        let series = vec![Series {
            name: NASTY.into(),
            points: vec![(0.0, 1.0), (1.0, 2.0)],
        }];
        page.chart(&Chart {
            title: NASTY.into(),
            x_label: NASTY.into(),
            series,
        })?;
        let row = vec![NASTY.to_string()];
        let table = Table {
            caption: NASTY.into(),
            columns: row.clone(),
            rows: vec![row],
        };
        page.table(&table)?;
        page.folded_table(NASTY, &table)?;
        page.picture(NASTY, &RgbImage::from_pixel(3, 2, Rgb([1, 2, 3])))?;
        page.animation(NASTY, b"GIF89a");
        Ok(page.render())
    }

    #[test]
    fn text_is_escaped_wherever_it_appears() -> Result<(), ReportError> {
        let html = full_page()?;
        assert!(!html.contains("<img src=x") && !html.contains("onerror=\""));
        let escaped = "&lt;img src=x onerror=&quot;a(&#39;&amp;&#39;)&quot;&gt;";
        // The title occurs twice, the lead once, the tile twice, the heading and the paragraph once, and the chart
        // four times (its title twice). Each of the two tables has a caption, a heading and a cell, and one of them
        // a summary. Each of the two pictures has a caption and the same alternative text.
        assert_eq!(
            html.matches(escaped).count(),
            2 + 1 + 2 + 1 + 1 + 4 + 6 + 1 + 4
        );
        Ok(())
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() -> Result<(), ReportError> {
        let html = full_page()?.replace("http://www.w3.org/2000/svg", "");
        for outside in [
            "http:", "https:", "//", "<script", "<link", "@import", "url(", "href",
        ] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(
            html.split("src=\"")
                .skip(1)
                .all(|rest| rest.starts_with("data:image/"))
        );
        Ok(())
    }

    #[test]
    fn an_embedded_picture_decodes_to_itself() -> Result<(), Box<dyn std::error::Error>> {
        let picture = RgbImage::from_fn(5, 4, |x, y| Rgb([50 * x as u8, 60 * y as u8, 7]));
        let mut page = Page::new("a", "b");
        page.picture("c", &picture)?;
        let html = page.render();
        let data = html
            .split("data:image/png;base64,")
            .nth(1)
            .and_then(|s| s.split('"').next());
        let bytes = BASE64_STANDARD.decode(data.unwrap_or_default())?;
        assert_eq!(image::load_from_memory(&bytes)?.into_rgb8(), picture);

        let mut grain = 1u32;
        let photo = RgbImage::from_fn(400, 300, |_, _| {
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgb((grain >> 8).to_le_bytes()[..3]
                .try_into()
                .unwrap_or_default())
        });
        page.picture("grain does not fit a small PNG", &photo)?;
        assert!(page.render().contains("data:image/jpeg;base64,"));
        assert!(page.picture("empty", &RgbImage::new(0, 0)).is_err());
        Ok(())
    }

    #[test]
    fn columns_of_numbers_are_flush_right_and_rows_must_fit() -> Result<(), ReportError> {
        let cells = |cells: [&str; 2]| cells.map(String::from).to_vec();
        let mut table = Table {
            columns: cells(["sequence", "J&F"]),
            rows: vec![cells(["blackswan", "61.2"]), cells(["7", "-"])],
            ..Table::default()
        };
        let html = table.html()?;
        assert!(html.contains("<td>blackswan</td><td class=\"number\">61.2</td>"));
        assert!(html.contains("<th>sequence</th><th class=\"number\">J&amp;F</th>"));
        table.rows.push(vec!["short".into()]);
        let found = table.html().err().map(|e| e.to_string());
        let message =
            "cells in a row of the table: found 1, expected 2 (table \"\", row \"short\")";
        assert_eq!(found.as_deref(), Some(message));
        Ok(())
    }
}
