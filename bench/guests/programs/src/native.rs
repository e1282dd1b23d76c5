//! Runs a program on the machine itself: `native NAME N` prints what `run(N)` answers.

#[path = "../deflate.rs"]
mod deflate;
#[path = "../digest.rs"]
mod digest;
#[path = "../digits.rs"]
mod digits;
#[path = "../json.rs"]
mod json;
#[path = "../lz4.rs"]
mod lz4;
#[path = "../markdown.rs"]
mod markdown;
#[path = "../planets.rs"]
mod planets;
#[path = "../queens.rs"]
mod queens;
#[path = "../search.rs"]
mod search;
#[path = "../shapes.rs"]
mod shapes;
#[path = "../sorting.rs"]
mod sorting;
#[path = "../words.rs"]
mod words;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, n] = arguments.as_slice() else {
        panic!("expected a program's name and a number");
    };
    let run = match name.as_str() {
        "deflate" => deflate::run,
        "digest" => digest::run,
        "digits" => digits::run,
        "json" => json::run,
        "lz4" => lz4::run,
        "markdown" => markdown::run,
        "planets" => planets::run,
        "queens" => queens::run,
        "search" => search::run,
        "shapes" => shapes::run,
        "sorting" => sorting::run,
        "words" => words::run,
        _ => panic!("no program `{name}`"),
    };
    println!("{}", run(n.parse().expect("a number")));
}
