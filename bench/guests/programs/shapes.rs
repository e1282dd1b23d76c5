//! Indirect calls: n shapes of several kinds as trait objects, and functions by tables.

use programs::{Random, mixed};

trait Shape {
    fn area(&self) -> f64;
    fn grow(&mut self, by: f64);
    fn corners(&self) -> u32;
}

struct Circle(f64);
struct Square(f64);
struct Rectangle(f64, f64);
struct Triangle([f64; 3]);

impl Shape for Circle {
    fn area(&self) -> f64 {
        std::f64::consts::PI * self.0 * self.0
    }

    fn grow(&mut self, by: f64) {
        self.0 += by;
    }

    fn corners(&self) -> u32 {
        0
    }
}

impl Shape for Square {
    fn area(&self) -> f64 {
        self.0 * self.0
    }

    fn grow(&mut self, by: f64) {
        self.0 += by;
    }

    fn corners(&self) -> u32 {
        4
    }
}

impl Shape for Rectangle {
    fn area(&self) -> f64 {
        self.0 * self.1
    }

    fn grow(&mut self, by: f64) {
        self.0 += by;
        self.1 -= by;
    }

    fn corners(&self) -> u32 {
        4
    }
}

impl Shape for Triangle {
    /// Heron's formula.
    fn area(&self) -> f64 {
        let half = self.0.iter().sum::<f64>() / 2.0;
        self.0
            .iter()
            .fold(half, |area, side| area * (half - side))
            .abs()
            .sqrt()
    }

    fn grow(&mut self, by: f64) {
        self.0 = self.0.map(|side| side + by);
    }

    fn corners(&self) -> u32 {
        3
    }
}

const STEPS: [fn(u32, u32) -> u32; 5] = [
    u32::wrapping_add,
    |a, b| a ^ b,
    |a, b| a.rotate_left(b % 32),
    u32::wrapping_mul,
    |a, b| if a > b { a - b } else { b },
];

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let mut random = Random::new();
    let mut shapes: Vec<_> = (0..n).map(|_| shape(&mut random)).collect();
    let mut sum = 0;
    for round in 0..8 {
        let mut area = 0.0;
        for shape in &mut shapes {
            shape.grow(f64::from(round) - 3.5);
            area += shape.area();
            let step = STEPS[(random.number() % 5) as usize];
            sum = step(sum, shape.corners() + round);
        }
        shapes.rotate_left(1);
        sum = mixed(sum, area as u32);
    }
    sum
}

fn shape(random: &mut Random) -> Box<dyn Shape> {
    let mut length = || f64::from(random.number() % 1000 + 10);
    let side = length();
    match side as u32 % 4 {
        0 => Box::new(Circle(side)),
        1 => Box::new(Square(side)),
        2 => Box::new(Rectangle(side, length())),
        _ => Box::new(Triangle([side, length(), length()])),
    }
}
