//! Calls and recursion: ways to place n queens, Ackermann's function, and trees made and walked.

use std::hint::black_box;

use programs::mixed;

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let ways = queens((1 << n) - 1, 0, 0, 0);
    let ackermann = ackermann(2, black_box(n) * 10);
    let tree = Tree::new(n);
    let sum = mixed(mixed(mixed(0, ways), ackermann), tree.depth());
    mixed(sum, tree.sum(0))
}

/// How many ways there are to fill the rows that are left; the bits are columns that are taken, and
/// diagonals.
fn queens(all: u32, columns: u32, left: u32, right: u32) -> u32 {
    if columns == all {
        return 1;
    }
    let mut ways = 0;
    let mut free = all & !(columns | left | right);
    while free != 0 {
        let place = free & free.wrapping_neg();
        free ^= place;
        ways += queens(
            all,
            columns | place,
            (left | place) << 1,
            (right | place) >> 1,
        );
    }
    ways
}

fn ackermann(m: u32, n: u32) -> u32 {
    match (m, n) {
        (0, _) => n + 1,
        (_, 0) => ackermann(m - 1, 1),
        _ => ackermann(m - 1, ackermann(m, n - 1)),
    }
}

struct Tree {
    number: u32,
    children: Option<[Box<Tree>; 2]>,
}

impl Tree {
    fn new(depth: u32) -> Tree {
        let children = (depth > 0).then(|| {
            // Not all branches are equally long.
            let other = depth.saturating_sub(2);
            [Box::new(Tree::new(depth - 1)), Box::new(Tree::new(other))]
        });
        Tree {
            number: depth,
            children,
        }
    }

    fn depth(&self) -> u32 {
        match &self.children {
            Some([left, right]) => 1 + left.depth().max(right.depth()),
            None => 1,
        }
    }

    fn sum(&self, above: u32) -> u32 {
        let here = mixed(above, self.number);
        match &self.children {
            Some([left, right]) => left.sum(here).wrapping_add(right.sum(here ^ 1)),
            None => here,
        }
    }
}
