//! One self-contained HTML page for a run: no scripts, nothing fetched, pictures embedded. It can be opened
//! from disk, mailed, or put on any web server, and follows the reader's light or dark setting.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;

use crate::curves::Chart;
use crate::error::ReportError;

/// Larger pictures are photographs, and a mailed page should stay at a few megabytes.
const MAX_PNG_BYTES: usize = 256 << 10;
const JPEG_QUALITY: u8 = 92;

/// A table of text; columns whose filled cells are all numbers are set flush right.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// What the table holds, in a few words.
    pub caption: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

/// A page under construction; parts appear in the order they are added.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    head: String,
    sections: Vec<String>,
}

impl Page {
    /// A page with a title and a sentence below it. All text given to a page is plain text, never HTML.
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

    /// The numbers to read first, as (name, value), in large type under the title.
    pub fn tiles(&mut self, tiles: &[(&str, String)]) {
        self.head += "<dl class=\"tiles\">\n";
        for (name, value) in tiles {
            let (name, value) = (escape(name), escape(value));
            self.head += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n");
        }
        self.head += "</dl>\n";
    }

    /// Starts a section.
    pub fn section(&mut self, heading: &str) {
        self.sections
            .push(format!("<h2>{}</h2>\n", escape(heading)));
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.add(&format!("<p>{}</p>\n", escape(text)));
    }

    /// Adds a chart; neighbouring charts stand side by side where there is room.
    ///
    /// # Errors
    /// The chart has no finite point.
    pub fn chart(&mut self, chart: &Chart) -> Result<(), ReportError> {
        let svg = chart.svg()?;
        self.add(&format!("<div class=\"chart\">{svg}</div>\n"));
        Ok(())
    }

    /// Adds a table.
    ///
    /// # Errors
    /// A row has another length than there are columns.
    pub fn table(&mut self, table: &Table) -> Result<(), ReportError> {
        let html = table.html()?;
        self.add(&html);
        Ok(())
    }

    /// Adds a table behind a line that opens it: for what is looked up rather than read.
    ///
    /// # Errors
    /// A row has another length than there are columns.
    pub fn folded_table(&mut self, summary: &str, table: &Table) -> Result<(), ReportError> {
        let (summary, html) = (escape(summary), table.html()?);
        self.add(&format!(
            "<details><summary>{summary}</summary>\n{html}</details>\n"
        ));
        Ok(())
    }

    /// Adds a picture: exact as PNG where that is small, otherwise as JPEG at a fraction of the size.
    ///
    /// # Errors
    /// The picture is empty.
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

    /// Adds an animation made by [`gif`](crate::gif).
    pub fn animation(&mut self, caption: &str, gif: &[u8]) {
        self.embed(caption, "image/gif", gif);
    }

    /// The page as HTML text.
    pub fn render(&self) -> String {
        let sections: Vec<String> = self
            .sections
            .iter()
            .map(|s| format!("<section>\n{s}</section>\n"))
            .collect();
        // The policy makes "nothing fetched, nothing run" a rule the browser enforces.
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

    fn embed(&mut self, caption: &str, mime: &str, bytes: &[u8]) {
        let (caption, data) = (escape(caption), BASE64_STANDARD.encode(bytes));
        self.add(&format!(
            "<figure><img alt=\"{caption}\" src=\"data:{mime};base64,{data}\">\
             <figcaption>{caption}</figcaption></figure>\n"
        ));
    }

    /// Adds HTML to the last section; what comes before the first heading gets a section without one.
    fn add(&mut self, html: &str) {
        match self.sections.last_mut() {
            Some(section) => section.push_str(html),
            None => self.sections.push(html.to_string()),
        }
    }
}

impl Table {
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

/// Plain text as HTML, for elements and quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
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
        // Title twice, lead, tile twice, heading, paragraph, chart four times (its title twice), two tables of
        // caption, heading and cell, summary, and two pictures with a caption and the same alt text.
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
