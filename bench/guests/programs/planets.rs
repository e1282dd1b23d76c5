//! Moves the sun and four planets n times: the n-body problem of the Computer Language Benchmarks
//! Game, with its numbers.

use programs::mixed;

const SOLAR_MASS: f64 = 4.0 * std::f64::consts::PI * std::f64::consts::PI;
const DAYS_PER_YEAR: f64 = 365.24;

#[derive(Clone, Copy)]
struct Body {
    at: [f64; 3],
    /// In days, and made years at the start.
    speed: [f64; 3],
    /// In masses of the sun, and made that of the units at the start.
    mass: f64,
}

const BODIES: [Body; 5] = [
    Body {
        at: [0.0; 3],
        speed: [0.0; 3],
        mass: 1.0,
    },
    Body {
        at: [
            4.841_431_442_464_72,
            -1.160_320_044_027_428_4,
            -0.103_622_044_471_123_11,
        ],
        speed: [
            0.001_660_076_642_744_037,
            0.007_699_011_184_197_404,
            -0.000_069_046_001_697_206_3,
        ],
        mass: 0.000_954_791_938_424_326_6,
    },
    Body {
        at: [
            8.343_366_718_244_58,
            4.124_798_564_124_305,
            -0.403_523_417_114_321,
        ],
        speed: [
            -0.002_767_425_107_268_624,
            0.004_998_528_012_349_172,
            0.000_023_041_729_757_376_393,
        ],
        mass: 0.000_285_885_980_666_130_8,
    },
    Body {
        at: [
            12.894_369_562_139_131,
            -15.111_151_401_698_631,
            -0.223_307_578_892_655_74,
        ],
        speed: [
            0.002_964_601_375_647_616,
            0.002_378_471_739_594_809_5,
            -0.000_029_658_956_854_023_756,
        ],
        mass: 0.000_043_662_440_433_515_63,
    },
    Body {
        at: [
            15.379_697_114_850_917,
            -25.919_314_609_987_964,
            0.179_258_772_950_371_18,
        ],
        speed: [
            0.002_680_677_724_903_893_2,
            0.001_628_241_700_382_423,
            -0.000_095_159_225_451_971_59,
        ],
        mass: 0.000_051_513_890_204_661_145,
    },
];

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let mut bodies = BODIES;
    for body in &mut bodies {
        body.speed = body.speed.map(|speed| speed * DAYS_PER_YEAR);
        body.mass *= SOLAR_MASS;
    }
    for _ in 0..n {
        advance(&mut bodies, 0.01);
    }
    bodies.iter().flat_map(|body| body.at).fold(0, |sum, at| {
        let bits = at.to_bits();
        mixed(mixed(sum, bits as u32), (bits >> 32) as u32)
    })
}

fn advance(bodies: &mut [Body], time: f64) {
    for first in 0..bodies.len() {
        let (left, right) = bodies.split_at_mut(first + 1);
        let body = &mut left[first];
        for other in right {
            let way: [f64; 3] = std::array::from_fn(|axis| body.at[axis] - other.at[axis]);
            let square = way[0] * way[0] + way[1] * way[1] + way[2] * way[2];
            let force = time / (square * square.sqrt());
            for axis in 0..3 {
                body.speed[axis] -= way[axis] * other.mass * force;
                other.speed[axis] += way[axis] * body.mass * force;
            }
        }
    }
    for body in bodies {
        for axis in 0..3 {
            body.at[axis] += time * body.speed[axis];
        }
    }
}
