//! All tests of files once more as on a kernel before 5.6, which has no `openat2`: paths are
//! walked part by part then.

use std::cell::Cell;
use std::env;
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use super::guest;

/// Asks a process of tests to do without the system call.
const VARIABLE: &str = "CWASM_TEST_WITHOUT_OPENAT2";

pub(super) fn is_asked() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Takes the system call from this thread, if that is asked for.
pub(super) fn prepare() {
    thread_local! {
        static IS_DONE: Cell<bool> = const { Cell::new(false) };
    }
    if !is_asked() || IS_DONE.replace(true) {
        return;
    }
    let denied = SeccompAction::Errno(libc::ENOSYS as u32);
    let machine = env::consts::ARCH.try_into().unwrap();
    let rules = [(libc::SYS_openat2, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, machine).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    apply_filter(&filter).unwrap();
    let opened = openat2(CWD, ".", OFlags::PATH, Mode::empty(), ResolveFlags::empty());
    assert_eq!(opened.unwrap_err(), Errno::NOSYS);
}

/// The command that runs tests without the system call.
pub(super) fn without_openat2() -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(VARIABLE, "1");
    command
}

/// Runs all tests of files in a process of their own.
pub(super) fn run_all(command: &mut Command) {
    let tests = command.arg("filesystem::tests").output().unwrap();
    let said = String::from_utf8_lossy(&tests.stdout);
    assert!(tests.status.success(), "{said}");
    let passed = said.split_once("test result: ok. ");
    let passed = passed.and_then(|(_, rest)| rest.split_whitespace().next());
    let passed: usize = passed.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!(passed > 10, "{said}");
}

#[test]
fn all_tests_pass_without_openat2() {
    if !is_asked() && !guest::is_p3() {
        run_all(&mut without_openat2());
    }
}
