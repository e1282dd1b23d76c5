//! Faults that are not traps: they go where they would have gone without us. Each case runs in a
//! process of its own, which is this test again with a variable set.
#![allow(unsafe_code, reason = "installs signal handlers and faults")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::ptr;

use cwasm::Engine;

const CASE: &str = "CWASM_SIGNAL_CASE";

/// Runs the test of this name in a child process, where `case` runs; how the child ends.
fn in_child(test: &str, case: impl FnOnce()) -> Option<ExitStatus> {
    if std::env::var_os(CASE).is_some() {
        case();
        return None;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", test, "--test-threads=1"])
        .env(CASE, test);
    Some(child.output().unwrap().status)
}

/// Reads address 64, where nothing is.
fn fault() {
    let nothing = ptr::without_provenance::<u8>(64);
    // SAFETY: it faults, which is what is tested.
    unsafe { nothing.read_volatile() };
}

fn handle(signal: libc::c_int, flags: libc::c_int, handler: usize) {
    // SAFETY: an action is plain data.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handlers below are of the signature that the flags say.
    let result = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    assert_eq!(result, 0);
}

fn send(signal: libc::c_int) {
    // SAFETY: has no preconditions.
    unsafe { libc::raise(signal) };
}

fn exit(code: libc::c_int) -> ! {
    // SAFETY: ends the process, also in a signal handler.
    unsafe { libc::_exit(code) }
}

#[test]
fn faults_of_the_host_end_the_process() {
    let status = in_child("faults_of_the_host_end_the_process", || {
        handle(libc::SIGSEGV, 0, libc::SIG_DFL);
        let _engine = Engine::default();
        fault();
        exit(1);
    });
    if let Some(status) = status {
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
    }
}

#[test]
fn signals_that_are_sent_are_not_swallowed() {
    let status = in_child("signals_that_are_sent_are_not_swallowed", || {
        handle(libc::SIGILL, 0, libc::SIG_DFL);
        let _engine = Engine::default();
        send(libc::SIGILL);
        exit(1);
    });
    if let Some(status) = status {
        assert_eq!(status.signal(), Some(libc::SIGILL), "{status}");
    }
}

#[test]
fn ignored_signals_stay_ignored() {
    let status = in_child("ignored_signals_stay_ignored", || {
        handle(libc::SIGFPE, 0, libc::SIG_IGN);
        handle(libc::SIGSEGV, 0, libc::SIG_IGN);
        let _engine = Engine::default();
        send(libc::SIGFPE);
        send(libc::SIGSEGV);
        // A fault cannot be ignored.
        fault();
        exit(1);
    });
    if let Some(status) = status {
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
    }
}

#[test]
fn handlers_from_before_are_called() {
    extern "C" fn plain(signal: libc::c_int) {
        assert_eq!(signal, libc::SIGBUS);
        // SAFETY: async-signal-safe.
        unsafe { libc::write(2, b"plain".as_ptr().cast(), 5) };
    }
    extern "C" fn detailed(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid pointer.
        let info = unsafe { &*info };
        // SAFETY: faults of this signal have an address.
        let address = unsafe { info.si_addr() };
        exit(if address.addr() == 64 { 42 } else { 2 });
    }
    let status = in_child("handlers_from_before_are_called", || {
        let plain: extern "C" fn(_) = plain;
        let detailed: extern "C" fn(_, _, _) = detailed;
        handle(libc::SIGBUS, 0, plain as usize);
        handle(libc::SIGSEGV, libc::SA_SIGINFO, detailed as usize);
        let _engine = Engine::default();
        send(libc::SIGBUS);
        fault();
        exit(1);
    });
    if let Some(status) = status {
        assert_eq!(status.code(), Some(42), "{status}");
    }
}
