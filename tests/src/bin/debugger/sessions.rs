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
        ],
        expected: &[
            "Breakpoint 2, divide (at=0x",
            "20\t    int32_t sum = at->x;",
            "at = 0x",
            "by = 1",
            "$1 = 42",
            "22\t        sum += table[i];",
            "compare (a=",
            "return divide((struct point *)left, right->x);",
            "Value returned is $2 = 25",
        ],
    },
    Session {
        what: "sees inlined functions and locals of callers",
        guest: "places-c",
        how: "callback",
        levels: ALL,
        commands: &[
            "break places.c:15",
            "continue",
            "bt 3",
            "up 2",
            "info locals",
        ],
        expected: &[
            "Breakpoint 2, quotient (a=",
            "15\t    int32_t result = a / b;",
            "#0 ",
            "quotient (a=",
            "#1 ",
            "divide (at=",
            "places.c:23",
            "#2 ",
            "compare (a=0x",
            "places.c:40",
            "left = 0x",
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
            "Breakpoint 2, scaled (value=5, by=3) at",
            "int32_t product = value * by;",
            "#0 ",
            "scaled (value=5, by=3)",
            "in inner (value=",
            "reenter.c:17",
            // With its path where the host has no debug information.
            "called_by_the_guest",
            "in outer (value=",
            "reenter.c:22",
            "in main ()",
            "$1 = 15",
            "Value returned is $2 = 16",
        ],
    },
    Session {
        what: "knows methods and types of C++",
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
            "return static_cast<int>(side * side) / scale;",
            "this = 0x",
            "scale = 0",
            "#1 ",
            "shapes::apply<",
            "shapes.cpp:30",
            "#2 ",
            "shapes.cpp:46",
            "struct shapes::Square<long long>",
            "T side;",
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
            "ptype items",
            "break places::geometry::halve",
        ],
        expected: &[
            "Breakpoint 2, places::pick",
            "43\t    items[index]",
            "index = 7",
            "$1 = 8",
            "#1 ",
            "fmt (self=",
            "main.rs:37",
            "struct &[u32]",
            "length: usize",
            // It is inlined into the two versions of a generic function.
            "Breakpoint 3 at",
            "2 locations",
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
