//! Flame graphs as SVG: a frame is as wide as the time in it, and hangs below its caller, so that
//! what is deep does not hide what is not.
//!
//! The graph is whole without its script, which lets a reader choose a frame, to see it and what it
//! calls in full width, and search for names.

use std::fmt::Write as _;

use cwasm::{FrameKind, Profile};

use crate::text::{markup, percent, plain, summary, time};
use crate::tree::{Node, tree};

const SCRIPT: &str = include_str!("flame/flame.js");
const STYLE: &str = include_str!("flame/flame.css");

/// Pixels of a frame's height, with the gap above it.
const ROW: usize = 18;
/// Pixels above the frames: the title, and a line about the frame below the pointer.
const TOP: usize = 58;
/// Pixels beside and below the frames.
const BORDER: usize = 8;
/// The width that texts are cut for, in pixels; the script cuts them for the real one.
const WIDTH: f64 = 1200.0;
/// The width of a character, in pixels.
const CHAR: f64 = 7.23;
/// The part of all time that a frame must have to be drawn.
const LEAST: f64 = 1.0 / 20_000.0;

/// The flame graph of all threads.
pub(crate) fn svg(profile: &Profile, program: &str) -> String {
    let tree = tree(profile);
    let height = TOP + depth(&tree, 0) * ROW + BORDER;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"flame\" width=\"100%\" \
         height=\"{height}\">\n<style><![CDATA[\n{STYLE}]]></style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"{BORDER}\" y=\"20\">{}: {}</text>\n\
         <text class=\"command reset\" x=\"{BORDER}\" y=\"44\">all</text>\n\
         <text class=\"command search\" x=\"48\" y=\"44\">search</text>\n\
         <text class=\"details\" x=\"120\" y=\"44\"> </text>\n",
        markup(program),
        markup(&summary(profile)),
    );
    let frames = format!("<svg class=\"frames\" x=\"{BORDER}\" y=\"{TOP}\" width=\"99%\">\n");
    svg.push_str(&frames);
    if tree[0].total != 0 {
        Drawing {
            tree: &tree,
            svg: &mut svg,
        }
        .draw(0, 0, 0);
    }
    svg.push_str("</svg>\n<script><![CDATA[\n");
    svg.push_str(SCRIPT);
    svg.push_str("]]></script>\n</svg>\n");
    svg
}

/// Rows that a node and what it calls take.
fn depth(tree: &[Node<'_>], at: usize) -> usize {
    let drawn = tree[at].callees.iter();
    let drawn = drawn.filter(|callee| is_drawn(tree, **callee));
    1 + drawn.map(|callee| depth(tree, *callee)).max().unwrap_or(0)
}

/// Whether a frame can be seen at all.
fn is_drawn(tree: &[Node<'_>], at: usize) -> bool {
    tree[at].total as f64 >= tree[0].total as f64 * LEAST
}

/// A graph that is drawn.
struct Drawing<'d, 'p> {
    tree: &'d [Node<'p>],
    svg: &'d mut String,
}

impl Drawing<'_, '_> {
    /// Draws a node and what it calls, from so many nanoseconds on.
    fn draw(&mut self, at: usize, start: u64, row: usize) {
        let tree = self.tree;
        self.frame(&tree[at], start, row);
        let mut start = start;
        for callee in &tree[at].callees {
            if is_drawn(tree, *callee) {
                self.draw(*callee, start, row + 1);
            }
            start += tree[*callee].total;
        }
    }

    fn frame(&mut self, node: &Node<'_>, start: u64, row: usize) {
        let all = self.tree[0].total;
        let part = |nanos: u64| nanos as f64 / all as f64;
        let (x, width) = (part(start), part(node.total));
        let y = row * ROW;
        let name = plain(node.name);
        let shares = format!("{}, {}", percent(node.total, all), time(node.total));
        let own = match node.own {
            0 => String::new(),
            own => format!("; itself {}, {}", percent(own, all), time(own)),
        };
        // A string takes all that is written.
        let _ = write!(
            self.svg,
            "<g class=\"frame {}\" data-x=\"{x:.7}\" data-w=\"{width:.7}\" data-row=\"{row}\">\
             <title>{}\n{shares}{own}</title>\
             <rect x=\"{:.4}%\" y=\"{y}\" width=\"{:.4}%\" height=\"{}\"/>\
             <text x=\"{:.4}%\" dx=\"3\" y=\"{}\">{}</text></g>\n",
            class(node, row),
            markup(&name),
            100.0 * x,
            100.0 * width,
            ROW - 1,
            100.0 * x,
            y + 13,
            markup(&cut(&name, width * WIDTH)),
        );
    }
}

/// The class that gives a frame its colour: of functions of a guest, which differ.
fn class(node: &Node<'_>, row: usize) -> String {
    match node.kind {
        _ if row == 0 => "all".to_owned(),
        FrameKind::Guest => {
            let hash = |sum: u32, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
            format!("guest g{}", node.name.bytes().fold(7, hash) % 8)
        }
        FrameKind::Host => "host".to_owned(),
        FrameKind::Builtin => "builtin".to_owned(),
        FrameKind::Trap => "trap".to_owned(),
        _ => "glue".to_owned(),
    }
}

/// As much of a name as there is room for.
fn cut(name: &str, pixels: f64) -> String {
    let room = ((pixels - 6.0) / CHAR).max(0.0) as usize;
    match name.chars().count() {
        count if count <= room => name.to_owned(),
        _ if room < 3 => String::new(),
        _ => name.chars().take(room - 1).chain(['…']).collect(),
    }
}
