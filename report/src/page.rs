//! The page: HTML with its style and plots inside, in light or dark colours as the reader has set.

use std::fmt::Write as _;

use crate::plot::{Plot, Series};
use crate::treemap::Treemap;

/// A page of measurements.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What was measured.
    pub title: String,
    /// What was done with it, in a sentence.
    pub lead: String,
    /// Figures to see first.
    pub tiles: Vec<Tile>,
    /// What a reader must know before the figures.
    pub notes: Vec<String>,
    /// All else, in this order.
    pub sections: Vec<Section>,
    /// On what and with what it was measured: names and values.
    pub facts: Vec<(String, String)>,
}

/// A figure and its name.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The figure with its unit.
    pub figure: String,
    /// What it is.
    pub name: String,
}

/// A part of a page.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What is to be seen.
    pub text: String,
    /// Plots and tables.
    pub blocks: Vec<Block>,
}

/// A plot or table.
#[derive(Clone, Debug)]
pub enum Block {
    /// A plot of the page's width.
    Plot(Plot),
    /// Small plots beside each other, of the same colours.
    Plots(Vec<Plot>),
    /// A table.
    Table(Table),
    /// A table that is shown when its title is chosen.
    Folded(String, Table),
    /// A treemap, which is wider than the text.
    Treemap(Treemap),
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The names of its columns.
    pub head: Vec<String>,
    /// Its rows, as long as the head.
    pub rows: Vec<Vec<String>>,
}

impl Page {
    /// The page as HTML.
    #[must_use]
    pub fn html(&self) -> String {
        let mut html = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
        let title = escaped(&self.title);
        put(
            &mut html,
            format_args!("<meta charset=\"utf-8\">\n<title>{title}</title>\n"),
        );
        html.push_str(
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <style>\n",
        );
        html.push_str(include_str!("style.css"));
        if self.has_treemap() {
            html.push_str(Treemap::STYLE);
        }
        put(
            &mut html,
            format_args!("</style>\n</head>\n<body>\n<h1>{title}</h1>\n"),
        );
        put(
            &mut html,
            format_args!("<p class=\"lead\">{}</p>\n", escaped(&self.lead)),
        );
        for note in &self.notes {
            put(
                &mut html,
                format_args!("<div class=\"note\">{}</div>\n", escaped(note)),
            );
        }
        if !self.tiles.is_empty() {
            html.push_str("<div class=\"tiles\">\n");
            for tile in &self.tiles {
                let (figure, name) = (escaped(&tile.figure), escaped(&tile.name));
                let tile = "<div class=\"tile\">";
                put(
                    &mut html,
                    format_args!("{tile}<strong>{figure}</strong><span>{name}</span></div>\n"),
                );
            }
            html.push_str("</div>\n");
        }
        for section in &self.sections {
            section.write(&mut html);
        }
        html.push_str("<footer>\n<dl>\n");
        for (name, value) in &self.facts {
            let (name, value) = (escaped(name), escaped(value));
            put(&mut html, format_args!("<dt>{name}</dt><dd>{value}</dd>\n"));
        }
        html.push_str("</dl>\n</footer>\n");
        if self.has_treemap() {
            put(
                &mut html,
                format_args!("<script>\n{}</script>\n", Treemap::SCRIPT),
            );
        }
        html.push_str("</body>\n</html>\n");
        html
    }

    /// Only then the page has a script.
    fn has_treemap(&self) -> bool {
        let mut blocks = self.sections.iter().flat_map(|section| &section.blocks);
        blocks.any(|block| matches!(block, Block::Treemap(_)))
    }
}

impl Section {
    fn write(&self, html: &mut String) {
        let (title, text) = (escaped(&self.title), escaped(&self.text));
        put(html, format_args!("<section>\n<h2>{title}</h2>\n"));
        if !text.is_empty() {
            put(html, format_args!("<p class=\"section-text\">{text}</p>\n"));
        }
        for block in &self.blocks {
            match block {
                Block::Plot(plot) => {
                    write_legend(html, &plot.legend);
                    put(html, format_args!("<figure>\n{}</figure>\n", plot.svg));
                }
                Block::Plots(plots) => write_plots(html, plots),
                Block::Table(table) => table.write(html),
                Block::Folded(title, table) => {
                    let title = escaped(title);
                    put(
                        html,
                        format_args!("<details>\n<summary>{title}</summary>\n"),
                    );
                    table.write(html);
                    html.push_str("</details>\n");
                }
                Block::Treemap(treemap) => treemap.write(html),
            }
        }
        html.push_str("</section>\n");
    }
}

impl Table {
    fn write(&self, html: &mut String) {
        html.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
        for name in &self.head {
            put(html, format_args!("<th>{}</th>", escaped(name)));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            html.push_str("<tr>");
            for cell in row {
                put(html, format_args!("<td>{}</td>", escaped(cell)));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table></div>\n");
    }
}

/// Plots, and one legend of what any of them has.
fn write_plots(html: &mut String, plots: &[Plot]) {
    let mut legend: Vec<(Series, String)> = Vec::new();
    for entry in plots.iter().flat_map(|plot| &plot.legend) {
        if !legend.contains(entry) {
            legend.push(entry.clone());
        }
    }
    write_legend(html, &legend);
    html.push_str("<div class=\"small\">\n");
    for plot in plots {
        put(html, format_args!("<figure>\n{}</figure>\n", plot.svg));
    }
    html.push_str("</div>\n");
}

fn write_legend(html: &mut String, legend: &[(Series, String)]) {
    if legend.is_empty() {
        return;
    }
    html.push_str("<div class=\"legend\">");
    for (series, label) in legend {
        let ((class, color), label) = (series.swatch(), escaped(label));
        let swatch = format!("<i class=\"{class}\" style=\"background:var({color})\"></i>");
        put(html, format_args!("<span>{swatch}{label}</span>"));
    }
    html.push_str("</div>\n");
}

/// Text as HTML. Control characters of names are shown as what stands for them.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\t' => html.push(c),
            c if c.is_control() => html.extend(c.escape_unicode()),
            c => html.push(c),
        }
    }
    html
}

/// Appends; a string takes all that is written.
pub(crate) fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = html.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text() {
        let page = Page {
            title: "<script>alert('x')</script>\u{1b}[31m".to_owned(),
            facts: vec![("a&b".to_owned(), "\"c\"".to_owned())],
            ..Page::default()
        };
        let html = page.html();
        assert!(!html.contains("<script"));
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\\u{1b}[31m"));
        assert!(html.contains("<dt>a&amp;b</dt><dd>&quot;c&quot;</dd>"));
    }
}
