//! Standard input, output and error, pipes between programs.

use std::fs;

use super::script;
use crate::support::{Folder, TRAPPED};

#[test]
fn output_and_error_are_apart() {
    let folder = Folder::new();
    let ran = script(&folder, "$run $tool -- both");
    assert_eq!(ran.prints("to the output\n").stderr(), "to the error\n");
}

#[test]
fn input_comes_from_files_and_pipes() {
    let folder = Folder::new();
    folder.file("in", "größe\nof a line");
    script(&folder, "$run $tool -- upper < in").prints("GRÖSSE\nOF A LINE\n");
    script(&folder, "cat in | $run $tool -- cat").prints("größe\nof a line");
    script(&folder, "$run $tool_c -- wc < in").prints("1 4 17\n");
    script(&folder, "$run $tool -- cat < /dev/null").prints("");
    // A piece at a time: the program waits for the rest.
    let slow = "(printf 'a b'; sleep 0.2; printf 'c\\n'; sleep 0.2) | $run $tool_c -- wc";
    script(&folder, slow).prints("1 2 5\n");
}

/// A megabyte of all bytes.
fn bytes() -> Vec<u8> {
    (0..1 << 20)
        .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn programs_are_parts_of_pipelines() {
    let folder = Folder::new();
    let bytes = bytes();
    folder.file("in", &bytes);
    let pipeline = "$run $tool -- cat < in | $run $tool -- cat | $run $tool -- cat > out
        echo ${PIPESTATUS[@]}";
    script(&folder, pipeline).prints("0 0 0\n");
    assert!(fs::read(folder.path("out")).unwrap() == bytes);
    let words = "printf 'a b\\nc\\n' | $run $tool -- upper | $run $tool_c -- wc";
    script(&folder, words).prints("2 3 6\n");
}

#[test]
fn output_is_there_as_soon_as_it_is_written() {
    let folder = Folder::new();
    // Its last line comes after a line that is sent once the first has come.
    let dialogue = "
        coproc $run $tool -- upper
        echo one >&${COPROC[1]}; read -t 20 -u ${COPROC[0]} answer; echo \"$answer\"
        echo two >&${COPROC[1]}; read -t 20 -u ${COPROC[0]} answer; echo \"$answer\"
        exec {COPROC[1]}>&-; wait $COPROC_PID";
    script(&folder, dialogue).prints("ONE\nTWO\n");
}

#[test]
fn a_reader_that_goes_ends_the_program() {
    let folder = Folder::new();
    for reader in ["head -c 1", "$run $tool -- exit 0", "true"] {
        let ran = script(
            &folder,
            &format!("$run $tool -- yes | {reader} > out; echo ${{PIPESTATUS[@]}}"),
        );
        assert_eq!(ran.prints("141 0\n").stderr(), "", "{reader}");
    }
}

#[test]
fn closed_streams_are_empty() {
    let folder = Folder::new();
    script(&folder, "$run $tool -- hello >&-").prints("");
    let ran = script(&folder, "$run $tool -- both 2>&-");
    assert_eq!(ran.prints("to the output\n").stderr(), "");
    script(&folder, "$run $tool -- cat <&-").prints("");
    script(&folder, "$run $client -- random 10 <&- 2>&-").prints("10 bytes\n");
    // A folder does not take the place of a stream that is closed.
    folder.file("f", "");
    script(
        &folder,
        "$run --dir . $tool_c -- list . <&- 2>&- | cat; echo ${PIPESTATUS[0]}",
    )
    .prints("1\n0\n");
    script(
        &folder,
        "$run --dir . $tool -- write f text <&- >&- 2>&-; cat f",
    )
    .prints("text");
}

#[test]
fn errors_of_streams_are_told() {
    let folder = Folder::new();
    folder.file("in", bytes());
    script(&folder, "$run $tool -- cat < in > /dev/full").fails(1, &["No space left on device"]);
    script(&folder, "$run $tool -- hello > /dev/full")
        .fails(TRAPPED, &["failed printing to stdout"]);
    script(&folder, "$run $tool -- cat < .").fails(1, &["Is a directory"]);
}

#[test]
fn terminals_are_told_from_pipes() {
    let folder = Folder::new();
    script(&folder, "$run $tool_c -- isatty < /dev/null | cat").prints("0 0 0\n");
}
