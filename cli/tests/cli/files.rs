//! The files that `cwasm compile` writes: always whole, and always the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

fn greet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/greet/greet.wasm")
}

fn compile(folder: &Path, args: &[&str]) -> Child {
    Command::new(cargo_bin("cwasm"))
        .current_dir(folder)
        .arg("compile")
        .args(args)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[track_caller]
fn compile_whole(folder: &Path, args: &[&str]) {
    assert!(compile(folder, args).wait().unwrap().success());
}

#[test]
fn threads_folders_and_names_do_not_matter() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let deep = there.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::copy(greet(), here.path().join("in.wasm")).unwrap();
    fs::copy(greet(), deep.join("other.wasm")).unwrap();
    for debug in [&[][..], &["--debug"]] {
        let args = [&["in.wasm", "-o", "one.cwasm", "--jobs", "1"], debug].concat();
        compile_whole(here.path(), &args);
        let expected = fs::read(here.path().join("one.cwasm")).unwrap();
        for jobs in ["2", "8"] {
            let args = [&["in.wasm", "-o", "many.cwasm", "--jobs", jobs], debug].concat();
            compile_whole(here.path(), &args);
            let found = fs::read(here.path().join("many.cwasm")).unwrap();
            assert!(found == expected, "--jobs {jobs} {debug:?}");
        }
        let input = deep.join("other.wasm");
        let args = [&[input.to_str().unwrap()], debug].concat();
        compile_whole(there.path(), &args);
        let found = fs::read(deep.join("other.cwasm")).unwrap();
        assert!(found == expected, "from another folder, {debug:?}");
    }
}

/// Whenever the compiler is killed, the output is the old file, or the new one.
#[test]
fn killed_compilers_leave_whole_files() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let input = greet();
    let input = input.to_str().unwrap();
    let start = Instant::now();
    compile_whole(folder, &[input, "-o", "new.cwasm"]);
    let time = start.elapsed();
    let new = fs::read(folder.join("new.cwasm")).unwrap();
    let output = folder.join("out.cwasm");
    const ROUNDS: u32 = 40;
    let mut killed = 0;
    for round in 0..ROUNDS {
        let old = round % 2 == 0;
        let _ = fs::remove_file(&output);
        if old {
            fs::write(&output, "old").unwrap();
        }
        let mut child = compile(folder, &[input, "-o", "out.cwasm"]);
        // From before anything is written until after all is.
        std::thread::sleep(time * round / (ROUNDS - 8) + Duration::from_micros(100));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        match fs::read(&output) {
            Ok(found) => assert!(found == new || (old && found == b"old"), "round {round}"),
            Err(error) => {
                assert!(
                    !old && error.kind() == std::io::ErrorKind::NotFound,
                    "round {round}"
                );
            }
        }
    }
    assert!(killed > 0, "the compiler was always faster than we were");
}

/// A mapped artifact stays as it is when it is compiled again: the new one is another file.
#[test]
fn outputs_are_replaced_not_changed() {
    use std::os::unix::fs::MetadataExt as _;

    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let input = greet();
    let input = input.to_str().unwrap();
    let output = folder.join("out.cwasm");
    compile_whole(folder, &[input, "-o", "out.cwasm"]);
    let old = fs::File::open(&output).unwrap();
    compile_whole(folder, &[input, "-o", "out.cwasm", "-O", "none"]);
    assert_ne!(
        old.metadata().unwrap().ino(),
        fs::metadata(&output).unwrap().ino()
    );
    assert_eq!(old.metadata().unwrap().nlink(), 0);
}
