//! Makes HTML of n sections of Markdown.

use std::fmt::Write as _;

use programs::{Random, checksum, text};
use pulldown_cmark::{Options, Parser, html};

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let mut random = Random::new();
    let mut page = String::new();
    for number in 0..n {
        section(&mut page, &mut random, number);
    }
    let mut output = String::new();
    html::push_html(&mut output, Parser::new_ext(&page, Options::all()));
    checksum(0, output.as_bytes())
}

fn section(page: &mut String, random: &mut Random, number: u32) {
    let mut words = |len| {
        let mut text = text(random, len);
        text.truncate(text.trim_end().len());
        text.replace('\n', " ")
    };
    let (title, body, quote) = (words(20), words(400), words(80));
    let (first, second, third) = (words(30), words(30), words(60));
    let result = write!(
        page,
        "## {number}. {title}\n\n{body} **{first}** *{second}* `{third}` [{title}](#{number})\n\n\
         * {first}\n* {second}\n    1. {third}\n    2. <b>{quote}</b>\n\n> {quote}\n> {first}\n\n\
         | a | b |\n|---|:-:|\n| {first} | {second} |\n| ~~{third}~~ | &amp; \\* |\n\n\
         ```rust\nfn {number}() {{}} // {quote}\n```\n\n![{first}][{number}]\n\n\
         [{number}]: https://example.org/{number} '{second}'\n\n",
    );
    result.expect("memory");
}
