//! Random programs.

use crate::random::Random;

use super::program::{
    Callee, End, INSTANCES, Kind, Lift, Op, Program, Returns, Root, Script, Shape, Step,
};

/// The most tasks of a program.
const MAX_TASKS: usize = 9;
/// The most steps of a task.
const MAX_STEPS: usize = 12;

/// What a program is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    Everything,
    Calls,
    Copies,
    Cancellation,
    Backpressure,
}

/// The program of this seed.
pub fn program(seed: u64) -> Program {
    let mut random = Random::new(seed);
    let theme = random.pick(&[
        Theme::Everything,
        Theme::Calls,
        Theme::Copies,
        Theme::Copies,
        Theme::Cancellation,
        Theme::Backpressure,
    ]);
    let mut generator = Generator {
        random,
        theme,
        scripts: Vec::new(),
        is_wild: false,
    };
    generator.is_wild = generator.random.one_in(5);
    let mut roots = Vec::new();
    for _ in 0..1 + generator.random.below(3) {
        let first = generator.random.below(4) == 0;
        let instance = if first {
            generator.random.below(INSTANCES as usize)
        } else {
            0
        };
        let callee = Callee {
            instance: instance as u32,
            lift: generator.lift(),
            shape: Shape::Number,
        };
        let delay = generator.random.below(3) as u32;
        let is_dropped = generator.random.one_in(10);
        let patience = is_dropped.then(|| generator.random.below(3) as u32);
        let task = generator.script(callee);
        roots.push(Root {
            task,
            delay,
            patience,
        });
    }
    Program {
        seed,
        scripts: generator.scripts,
        roots,
    }
}

struct Generator {
    random: Random,
    theme: Theme,
    scripts: Vec<Script>,
    /// Whether there are steps that make no sense.
    is_wild: bool,
}

impl Generator {
    fn lift(&mut self) -> Lift {
        self.random.pick(&[
            Lift::Callback,
            Lift::Callback,
            Lift::Callback,
            Lift::Callback,
            Lift::Stackful,
            Lift::Stackful,
            Lift::Stackful,
            Lift::Blocking,
            Lift::Blocking,
            Lift::Plain,
        ])
    }

    /// Makes a script, and those of what it calls: its number.
    fn script(&mut self, callee: Callee) -> u32 {
        let number = self.scripts.len();
        let script = Script {
            callee,
            steps: Vec::new(),
            patience: self.random.below(6) as u32,
            is_tidy: !self.random.one_in(80),
        };
        self.scripts.push(script);
        let count = 2 + self.random.below(MAX_STEPS - 1);
        for _ in 0..count {
            let step = self.step(callee);
            self.scripts[number].steps.push(step);
        }
        number as u32
    }

    fn step(&mut self, callee: Callee) -> Step {
        let pick = self.random.below(1 << 16) as u32;
        if self.is_wild && self.random.one_in(8) {
            return self.wild(pick);
        }
        let is_call = match self.theme {
            Theme::Copies => self.random.one_in(5),
            _ => self.random.one_in(3),
        };
        if is_call && callee.instance + 1 < INSTANCES && self.scripts.len() < MAX_TASKS {
            return self.call(callee);
        }
        // What is cancelled should wait, in all ways that there are.
        let turns = if self.theme == Theme::Cancellation {
            4
        } else {
            1
        };
        match self.random.below(20) {
            0..=2 => Step::Await,
            place if place < 3 + turns => Step::Turn,
            place if place < 2 + 2 * turns => Step::Tame {
                op: Op::Yield,
                pick,
            },
            _ => {
                let op = self.op(callee);
                Step::Tame { op, pick }
            }
        }
    }

    fn call(&mut self, caller: Callee) -> Step {
        let later = INSTANCES - caller.instance - 1;
        let instance = caller.instance + 1 + self.random.below(later as usize) as u32;
        let callee = Callee {
            instance,
            lift: self.lift(),
            shape: self.random.pick(&Shape::ALL),
        };
        let is_sync = callee.lift == Lift::Plain || self.is_sync(caller);
        let task = self.script(callee);
        Step::Call {
            callee,
            is_sync,
            task,
        }
    }

    /// Whether an operation waits until it is done: that is seldom right in a function that must
    /// not.
    fn is_sync(&mut self, callee: Callee) -> bool {
        self.random
            .one_in(if callee.lift == Lift::Plain { 25 } else { 5 })
    }

    fn end(&mut self) -> End {
        let kind = if self.random.below(3) < 2 {
            Kind::Stream
        } else {
            Kind::Future
        };
        End::new(kind, self.random.one_in(2))
    }

    /// An operation, more often of what the program is about.
    fn op(&mut self, callee: Callee) -> Op {
        let is_sync = self.is_sync(callee);
        let theme = match self.theme {
            Theme::Everything => self.random.pick(&[
                Theme::Calls,
                Theme::Copies,
                Theme::Cancellation,
                Theme::Backpressure,
            ]),
            theme if self.random.below(3) > 0 => theme,
            _ => Theme::Everything,
        };
        let end = self.end();
        match theme {
            Theme::Calls => match self.random.below(6) {
                0 => Op::SubtaskDrop,
                1 => Op::Join,
                2 => Op::SetPoll,
                3 => self.waiting(callee),
                4 => Op::Return(callee.shape.returns()),
                _ => Op::SetDrop,
            },
            Theme::Copies => match self.random.below(14) {
                0 | 1 => Op::Cancel { end, is_sync },
                2 | 3 => Op::Drop(end),
                4 => Op::Join,
                _ => Op::Copy { end, is_sync },
            },
            Theme::Cancellation => match self.random.below(6) {
                0 => Op::TaskCancel,
                1 => Op::Cancel { end, is_sync },
                2 => Op::SubtaskDrop,
                _ => Op::SubtaskCancel { is_sync },
            },
            Theme::Backpressure => match self.random.below(5) {
                0 | 1 => Op::BackpressureInc,
                2 | 3 => Op::BackpressureDec,
                _ => Op::Yield,
            },
            Theme::Everything => match self.random.below(12) {
                0 => Op::SetNew,
                1 => Op::SetDrop,
                2 => Op::SetPoll,
                3 => Op::Join,
                4 => Op::ContextGet,
                5 => Op::ContextSet,
                6 => Op::Peek,
                7 => Op::Yield,
                8 => Op::Return(callee.shape.returns()),
                9 => Op::Drop(end),
                10 => self.waiting(callee),
                _ => Op::New(end.kind),
            },
        }
    }

    fn waiting(&mut self, callee: Callee) -> Op {
        match callee.lift {
            Lift::Plain => Op::SetPoll,
            _ => Op::SetWait,
        }
    }

    /// A step that makes no sense, as a rule.
    fn wild(&mut self, pick: u32) -> Step {
        match self.random.below(12) {
            0 => return Step::Finish(self.random.below(64) as u32),
            1 => {
                return Step::Tame {
                    op: Op::Unreachable,
                    pick,
                };
            }
            _ => {}
        }
        let end = self.end();
        let is_sync = self.random.one_in(2);
        let op = match self.random.below(18) {
            0..=4 => Op::Copy { end, is_sync },
            5 | 6 => Op::Cancel { end, is_sync },
            7 | 8 => Op::Drop(end),
            9 => Op::SubtaskDrop,
            10 => Op::SubtaskCancel { is_sync },
            11 | 12 => Op::SetDrop,
            13 => Op::Join,
            14 => Op::Return(Returns::End(end.kind)),
            15 => Op::Return(Returns::Number),
            16 => Op::TaskCancel,
            _ => Op::BackpressureDec,
        };
        let raw = self
            .random
            .one_in(12)
            .then(|| self.random.pick(&[0, 1, 2, 3, 7, 99, u32::MAX]));
        Step::Wild { op, pick, raw }
    }
}
