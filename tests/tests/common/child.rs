//! Tests that run once more in a process of their own, where they change what the whole process
//! has.

use std::process::{Command, Output};

const CHILD: &str = "CWASM_TEST_CHILD";

/// Runs `body` in a child process, which is the same test again; `None` in the child itself, where
/// it has run. `module` is the test's `module_path!()`.
pub(crate) fn run(module: &str, test: &str, body: impl FnOnce()) -> Option<Output> {
    let output = command(module, test, body)?.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "no test is {test}: {text}");
    Some(output)
}

/// The command of the child process that runs `body`; `None` in the child itself, where it has run.
pub(crate) fn command(module: &str, test: &str, body: impl FnOnce()) -> Option<Command> {
    if std::env::var_os(CHILD).is_some() {
        body();
        return None;
    }
    // Within a binary, tests are named without its crate.
    let name = match module.split_once("::") {
        Some((_, module)) => format!("{module}::{test}"),
        None => test.to_owned(),
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1");
    Some(command)
}
