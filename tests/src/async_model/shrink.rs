//! Smaller programs that fail as well.

use super::fails;
use super::model::Rules;
use super::program::Program;
use super::run::Bench;

/// Leaves out steps and calls of the host as long as the run cannot be explained.
pub fn shrink(bench: &Bench, mut program: Program, rules: Rules) -> Program {
    loop {
        let smaller = candidates(&program);
        let found = smaller
            .into_iter()
            .find(|smaller| fails(bench, smaller, rules));
        match found {
            Some(smaller) => program = smaller,
            None => return program,
        }
    }
}

/// Programs with one thing less.
fn candidates(program: &Program) -> Vec<Program> {
    let mut found = Vec::new();
    let mut add = |change: &dyn Fn(&mut Program)| {
        let mut smaller = program.clone();
        change(&mut smaller);
        if smaller != *program {
            found.push(smaller);
        }
    };
    for root in 0..program.roots.len() {
        add(&|program| _ = program.roots.remove(root));
        add(&|program| program.roots[root].delay = 0);
        add(&|program| program.roots[root].patience = None);
    }
    for (number, script) in program.scripts.iter().enumerate() {
        add(&|program| program.scripts[number].steps.clear());
        for step in 0..script.steps.len() {
            add(&|program| _ = program.scripts[number].steps.remove(step));
        }
        add(&|program| program.scripts[number].patience = 0);
    }
    found
}
