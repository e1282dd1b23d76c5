//! Traps in known places: `places HOW`.

use std::fmt;

mod geometry {
    pub trait Area {
        fn area(&self, scale: u32) -> u32;
    }

    pub struct Square<T>(pub T);

    impl<T: Copy + Into<u64>> Area for Square<T> {
        #[inline(never)]
        fn area(&self, scale: u32) -> u32 {
            let side: u64 = self.0.into();
            halve(side * side, scale)
        }
    }

    #[inline(always)]
    fn halve(value: u64, scale: u32) -> u32 {
        if scale == 0 {
            core::arch::wasm32::unreachable();
        }
        (value / u64::from(scale)) as u32
    }
}

use geometry::{Area, Square};

struct Failing;

impl fmt::Display for Failing {
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<u32> = (0..3).collect();
        write!(f, "{}", pick(&items, 7))
    }
}

#[inline(never)]
fn pick(items: &[u32], index: usize) -> u32 {
    items[index]
}

#[inline(never)]
fn in_closure(scale: u32) -> u32 {
    let shapes: Vec<Box<dyn Area>> = vec![Box::new(Square(3u32)), Box::new(Square(4u8))];
    shapes.iter().map(|shape| shape.area(scale)).sum()
}

fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    let scale = std::env::args().count() as u32 - 2;
    match how.as_str() {
        "closure" => println!("{}", in_closure(scale)),
        "panic" => println!("{Failing}"),
        "option" => println!("{}", None::<u32>.expect("a number")),
        _ => println!("{}", in_closure(2)),
    }
}
