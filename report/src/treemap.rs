//! A treemap: areas inside of areas, each as large as what it stands for. A script in the page lays
//! them out, as a reader zooms in and chooses what counts.

use serde::Serialize;

use crate::page::{escaped, put};
use crate::plot::Series;

/// A treemap of bytes.
#[derive(Clone, Debug, Default)]
pub struct Treemap {
    /// What bytes are for: a reader chooses which of these count.
    pub uses: Vec<String>,
    /// The outermost area.
    pub root: Area,
}

/// An area, which may have others inside.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Area {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Its own bytes for each use, by the use's place; those of areas inside are not counted.
    #[serde(rename = "v", skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<(usize, u64)>,
    /// Its colour, and that of areas inside which have none of their own.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
    /// The areas inside.
    #[serde(rename = "c", skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<Area>,
}

impl Treemap {
    pub(crate) const SCRIPT: &str = include_str!("treemap.js");

    pub(crate) const STYLE: &str = include_str!("treemap.css");

    pub(crate) fn write(&self, html: &mut String) {
        html.push_str(
            "<div class=\"treemap\">\n<div class=\"treemap-bar\"><nav aria-label=\"where\"></nav>\
             <output></output><input type=\"search\" placeholder=\"Find ( / )\" \
             aria-label=\"find\"></div>\n<div class=\"treemap-uses\">",
        );
        for name in &self.uses {
            let name = escaped(name);
            put(
                html,
                format_args!("<button type=\"button\" aria-pressed=\"true\">{name}</button>"),
            );
        }
        html.push_str(
            "</div>\n<canvas tabindex=\"0\"></canvas>\n<div class=\"treemap-tip\" hidden></div>\n\
             <noscript><p>The areas are drawn by a script.</p></noscript>\n\
             <script type=\"application/json\">",
        );
        html.push_str(&self.json());
        html.push_str("</script>\n</div>\n");
    }

    /// The areas as JSON that is no HTML.
    fn json(&self) -> String {
        match serde_json::to_string(&self.root) {
            Ok(json) => json.replace('<', "\\u003c"),
            Err(error) => unreachable!("names and numbers are always JSON: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_no_script() {
        let treemap = Treemap {
            uses: vec!["<b>".to_owned()],
            root: Area {
                name: "</script><script>alert(1)</script><!--".to_owned(),
                bytes: vec![(0, 7)],
                series: Some(Series(2)),
                inside: vec![Area::default()],
            },
        };
        let mut html = String::new();
        treemap.write(&mut html);
        assert_eq!(html.matches("<script").count(), 1, "{html}");
        assert_eq!(html.matches("</script").count(), 1, "{html}");
        assert!(!html.contains("<!--") && !html.contains("<b>"), "{html}");
        let json = html.split("json\">").nth(1).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(json.split("</script>").next().unwrap()).unwrap();
        assert_eq!(json["n"], "</script><script>alert(1)</script><!--");
        assert_eq!(json["v"], serde_json::json!([[0, 7]]));
        assert_eq!(json["s"], 2);
        assert_eq!(json["c"][0], serde_json::json!({ "n": "" }));
    }
}
