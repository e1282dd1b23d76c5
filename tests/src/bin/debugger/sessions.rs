//! Sessions of gdb, in which guests are stopped and looked at.

use cwasm_compiler::{Debug, OptLevel};

use crate::{Check, LEVELS, Result, Workbench, in_order};

/// A session.
struct Session {
    what: &'static str,
    guest: &'static str,
    how: &'static str,
    levels: &'static [OptLevel],
    commands: &'static [&'static str],
    /// Texts in lines of the output, each after the one before.
    expected: &'static [&'static str],
}

const ALL: &[OptLevel] = &[OptLevel::None, OptLevel::Speed, OptLevel::Size];

const SESSIONS: &[Session] = &[
    Session {
        what: "stops at a line, steps and finishes",
        guest: "places-c",
        how: "callback",
        levels: ALL,
        commands: &[
            "break places.c:20",
            "continue",
            "info args",
            "print by + 41",
            "next",
            "next",
            "finish",
            "break places.c:15",
            "continue",
            "bt 3",
            "print b",
        ],
        expected: &[
            "Breakpoint 2, divide (at=0x",
            "by=1) at",
            "20\t    int32_t sum = at->x;",
            "at = 0x",
            "by = 1",
            "$1 = 42",
            "    for (int i = 0; i < 4; i++)",
            "compare (a=",
            "return divide((struct point *)left, right->x);",
            "Value returned is",
            "Breakpoint 3,",
            "int32_t result = a / b;",
            "#0 ",
            "quotient (a=",
            "#1 ",
            "divide (at=0x",
            "places.c:23",
            "#2 ",
            "compare (a=0x",
            "places.c:40",
            "$3 = ",
        ],
    },
    Session {
        what: "sees a guest, its host and the guest again",
        guest: "reenter",
        how: "",
        levels: ALL,
        commands: &[
            "break scaled",
            "continue",
            "bt",
            "print value * by",
            "finish",
        ],
        expected: &[
            "scaled (value=5, by=3) at",
            "int32_t product = value * by;",
            "#0 ",
            "scaled (value=5, by=3)",
            "#1 ",
            "in inner (value=",
            "reenter.c:17",
            "called_by_the_guest",
            "in outer (value=",
            "reenter.c:22",
            "debugger::host::call",
            "debugger::main",
            "in main ()",
            "$1 = 15",
            "int32_t result = scaled(value, 3);",
            "Value returned is $2 = 16",
        ],
    },
    Session {
        what: "prints a local in the guest's memory",
        guest: "reenter",
        how: "",
        levels: &[OptLevel::None],
        commands: &[
            "break reenter.c:12",
            "continue",
            "print product",
            "info locals",
            "step",
        ],
        expected: &[
            "calls += 1;",
            "$1 = 15",
            "product = 15",
            "return product + calls;",
        ],
    },
    Session {
        what: "knows methods of C++",
        guest: "shapes",
        how: "large",
        levels: ALL,
        commands: &[
            "break shapes::Square<long long>::area",
            "continue",
            "info args",
            "bt 3",
            "ptype this",
        ],
        expected: &[
            "Breakpoint 2, shapes::Square<long long>::area",
            "this = 0x",
            "scale = 0",
            "#1 ",
            "shapes::apply<",
            "#2 ",
            "main",
            "shapes.cpp:46",
            "struct shapes::Square<long long>",
            "side;",
        ],
    },
    Session {
        what: "knows functions and types of Rust",
        guest: "places",
        how: "panic",
        levels: ALL,
        commands: &[
            "break places::pick",
            "continue",
            "info args",
            "print index + 1",
            "bt 2",
            "break halve",
        ],
        expected: &[
            "Breakpoint 2, places::pick",
            "items[index]",
            "items = ",
            "length: 3",
            "index = 7",
            "$1 = 8",
            "#1 ",
            "places::{impl#",
            "fmt",
            "main.rs:37",
            "Breakpoint 3 at",
        ],
    },
];

pub(crate) fn checks() -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for session in SESSIONS {
        let name = format!("gdb {} ({})", session.what, session.guest);
        checks.push((name, Box::new(move |workbench| session.check(workbench))));
    }
    checks
}

impl Session {
    /// Holds the session at all its levels, with the debug information inside and in a file beside.
    fn check(&self, workbench: &Workbench) -> Result<String> {
        for opt in self.levels {
            for debug in [Debug::Inside, Debug::Split] {
                let level = LEVELS.iter().find(|(level, _)| level == opt);
                let level = level.map_or("", |(_, name)| name);
                self.hold(workbench, *opt, debug)
                    .map_err(|error| format!("-O {level}, {debug:?}: {error}"))?;
            }
        }
        Ok(format!("{} sessions", 2 * self.levels.len()))
    }

    fn hold(&self, workbench: &Workbench, opt: OptLevel, debug: Debug) -> Result<()> {
        let artifact = workbench.artifact(self.guest, opt, debug);
        let script = format!("source {}", workbench.script.display());
        let sources = match self.guest {
            "places" => workbench.sources.join("rust"),
            _ => workbench.sources.clone(),
        };
        let sources = format!("set substitute-path /guest {}", sources.display());
        let mut args = vec!["-nx", "-batch"];
        let settings = [
            "set debuginfod enabled off",
            "set width 0",
            "set style enabled off",
            &sources,
            &script,
            "cwasm run",
        ];
        for command in settings.iter().chain(self.commands) {
            args.extend(["-ex", command]);
        }
        let (program, artifact) = (workbench.program.display().to_string(), artifact.display());
        let artifact = artifact.to_string();
        args.extend(["--args", &program, "--host", &artifact, self.how]);
        let (output, _) = workbench.run("gdb", &args)?;
        // What gdb says before does not matter.
        let start = output.find("cwasm: ").ok_or_else(|| output.clone())?;
        in_order(&output[start..], self.expected)
    }
}
