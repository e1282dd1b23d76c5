//! A page with a flame graph and the functions that take most time.

use std::fmt::Write as _;

use cwasm::{FrameKind, Profile};

use crate::flame;
use crate::text::{markup, percent, time};
use crate::tree::functions;

/// Functions that are listed.
const LISTED: usize = 100;

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 14px sans-serif; margin: 8px; background: #fdfdfc; color: #1b1b1a; }
h1 { font-size: 16px; margin: 24px 8px 8px; }
table { border-collapse: collapse; margin: 0 8px; }
th, td { padding: 2px 14px 2px 0; text-align: right; white-space: nowrap; }
th:nth-child(n + 3), td:nth-child(n + 5) { text-align: left; }
td:last-child { font-family: monospace; white-space: normal; overflow-wrap: anywhere; }
tr + tr { border-top: 1px solid #8884; }
@media (prefers-color-scheme: dark) { body { background: #1d1d1f; color: #eeeeec; } }
";

/// The page.
pub(crate) fn html(profile: &Profile, program: &str) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>Profile of {}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <style>{STYLE}</style>\n</head>\n<body>\n",
        markup(program)
    );
    html.push_str(&flame::svg(profile, program));
    table(&mut html, profile);
    html.push_str("</body>\n</html>\n");
    html
}

/// Adds the table of functions.
fn table(html: &mut String, profile: &Profile) {
    let functions = functions(profile);
    let all: u64 = functions.iter().map(|function| function.own).sum();
    html.push_str(
        "<h1>Functions</h1>\n<table>\n<tr><th colspan=\"2\">itself</th>\
         <th colspan=\"2\">with what it calls</th><th>kind</th><th>function</th></tr>\n",
    );
    for function in functions.iter().take(LISTED) {
        // A string takes all that is written.
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            percent(function.own, all),
            time(function.own),
            percent(function.total, all),
            time(function.total),
            kind(function.kind),
            markup(function.name),
        );
    }
    html.push_str("</table>\n");
    if functions.len() > LISTED {
        let more = functions.len() - LISTED;
        let _ = writeln!(
            html,
            "<p>and {more} more, each of which takes less itself</p>"
        );
    }
}

fn kind(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Guest => "guest",
        FrameKind::Host => "host",
        FrameKind::Builtin => "built-in",
        FrameKind::Trap => "trap",
        FrameKind::Truncated => "",
        _ => "glue",
    }
}
