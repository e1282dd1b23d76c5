//! Sessions of gdb, in which guests are stopped and looked at.

use cwasm_compiler::Debug;

use crate::{Check, LEVELS, Level, Result, Workbench, in_order};

/// A session.
struct Session {
    what: &'static str,
    guest: &'static str,
    how: &'static str,
    commands: &'static [&'static str],
    /// Texts in lines of the output, each after the one before.
    expected: &'static [&'static str],
}

const SESSIONS: &[Session] = &[
    Session {
        what: "stops at a line, steps and finishes",
        guest: "places-c",
        how: "callback",
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
        what: "shows what pointers point to, and variables that are in no function",
        guest: "places-c",
        how: "callback",
        commands: &[
            "break places.c:20",
            "continue",
            "print $guest(at)",
            "print $guest($guest(at).name)",
            "print $guest($guest(at).name, 5)",
            "x/s $guest_address($guest(at).name)",
            // What a guest's text would do to a terminal.
            "python print(quoted(b'\"\\x1b[2J\\xc2\\x9b\\xff'))",
            "print $guest(at, 0)",
            "print $guest(by)",
            "print $guest((struct point *)0x7ffffff0)",
            "print table",
            "print table[2] + by",
            "up",
            "print table",
            "print $guest(left).name",
            // A function of the host that has called the guest.
            "up 20",
            "print table",
        ],
        expected: &[
            "Breakpoint 2, divide (at=0x",
            "$1 = {x = 7, y = 9, name = 0x",
            " \"third\"}",
            "$2 = 116 't'",
            "$3 = \"third\"",
            "\"third\"",
            r#""\"\x1b[2J\x9b\xff""#,
            "$4 = {3, 1, 4, 1}",
            "$5 = 5",
            "#1 ",
            "$6 = {3, 1, 4, 1}",
            "$7 = 0x",
            " \"third\"",
            "$8 = <optimized out>",
            // Errors come after all other output.
            "expected a count of 1 or more, found 0",
            "expected a pointer, found a value of type int32_t",
            "0x7ffffff0 is outside of the guest's memory of 0x",
        ],
    },
    Session {
        what: "sees a guest, its host and the guest again",
        guest: "reenter",
        how: "",
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
        commands: &[
            "break shapes::Square<long long>::area",
            "continue",
            "info args",
            "bt 3",
            "print $guest(this)",
            "ptype this",
            "up",
            "print shape",
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
            "$1 = {<shapes::Shape> = {_vptr$Shape = 0x",
            "side = 4}",
            "struct shapes::Square<long long>",
            "T side;",
            "$2 = {_vptr$Shape = 0x",
        ],
    },
    Session {
        what: "knows variables that are in no local",
        guest: "shapes",
        how: "",
        commands: &[
            "break shapes.cpp:47",
            "continue",
            "print result",
            "print small",
        ],
        expected: &[
            "Breakpoint 2, ",
            "shapes.cpp:47",
            "$1 = 6",
            // The address of the frame is known from where the one before ends.
            "$2 = {<shapes::Shape> = {_vptr$Shape = 0x",
            "side = 3}",
        ],
    },
    Session {
        what: "knows functions and types of Rust",
        guest: "places",
        how: "panic",
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
            "items = &[u32] of 3 = {0, 1, 2}",
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
    /// Holds the session at all levels, with the debug information inside and in a file beside.
    fn check(&self, workbench: &Workbench) -> Result<String> {
        for level in LEVELS {
            for debug in [Debug::Inside, Debug::Split] {
                self.hold(workbench, level, debug)
                    .map_err(|error| format!("{}, {debug:?}: {error}", level.name))?;
            }
        }
        Ok(format!("{} sessions", 2 * LEVELS.len()))
    }

    fn hold(&self, workbench: &Workbench, level: Level, debug: Debug) -> Result<()> {
        let artifact = workbench.artifact(self.guest, level, debug);
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
