//! The first n digits of pi, by large integers: J. Gibbons, Unbounded Spigot Algorithms for the
//! Digits of Pi, section 5.

use num_bigint::BigInt;
use programs::checksum;

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let (mut q, mut r, mut t) = (BigInt::from(1), BigInt::from(180), BigInt::from(60));
    let mut digits = String::new();
    for i in 2..u64::from(n) + 2 {
        let u = 3 * (3 * i + 1) * (3 * i + 2);
        let digit: BigInt = (&q * (27 * i - 12) + &r * 5u32) / (&t * 5u32);
        digits += &digit.to_string();
        r = (&q * (5 * i - 2) + r - digit * &t) * (10 * u);
        q *= 10 * i * (2 * i - 1);
        t *= u;
    }
    checksum(0, digits.as_bytes())
}
