//! Code that must not compile, and the messages of the compiler: `tests/misuse/NAME.rs` and
//! `NAME.stderr`. The messages are those of Rust 1.95.
//! `TRYBUILD=overwrite cargo test -p cwasm --test misuse` writes the messages anew, to be reviewed
//! as a diff.

#[test]
fn misuse_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/misuse/compiles/*.rs");
    cases.compile_fail("tests/misuse/*.rs");
    #[cfg(feature = "async")]
    {
        cases.pass("tests/misuse/waiting/compiles/*.rs");
        cases.compile_fail("tests/misuse/waiting/*.rs");
    }
}
