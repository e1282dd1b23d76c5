//! Folders and files that a program may use.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, UNIX_EPOCH};

use super::script;
use crate::support::Folder;

#[test]
fn a_large_file_is_copied() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in"), folder.path("out"));
    script(&folder, "$run --dir . $tool -- fill in 100").prints("104857600\n");
    for tool in ["tool", "tool_c"] {
        let copy = format!("rm -f out; $run --dir . ${tool} -- copy in out");
        script(&folder, &copy).prints("104857600\n");
        assert_eq!(hash(&input), hash(&output), "{tool}");
    }
    assert_eq!(hash(&input).0, 100 << 20);
    // And through the standard streams.
    script(&folder, "$run $tool -- cat < in > out").prints("");
    assert_eq!(hash(&input), hash(&output));
}

/// Length and FNV-1a of the words of a file.
fn hash(path: &str) -> (u64, u64) {
    let (mut file, mut buffer) = (File::open(path).unwrap(), vec![0; 1 << 20]);
    let (mut len, mut hash) = (0, 0xcbf2_9ce4_8422_2325_u64);
    loop {
        let count = file.read(&mut buffer).unwrap();
        if count == 0 {
            return (len, hash);
        }
        len += count as u64;
        for word in buffer[..count].chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[test]
fn folders_have_names_for_the_program() {
    let folder = Folder::new();
    fs::create_dir(folder.path("host")).unwrap();
    fs::create_dir(folder.path("other")).unwrap();
    folder.file("host/file", "text");
    folder.file("other/file", "other");
    for (dirs, path) in [
        ("--dir host", "host/file"),
        ("--dir host::/", "/file"),
        ("--dir host::.", "file"),
        ("--dir host::/data", "/data/file"),
        ("--dir host::/data", "/data/./file"),
        ("--dir other::/ --dir host::/data", "/data/file"),
        ("--dir host::/data --dir other::/", "/data/file"),
        ("--dir $PWD/host", "$PWD/host/file"),
    ] {
        script(&folder, &format!("$run {dirs} $tool -- cat {path}")).prints("text");
    }
    for path in [
        "/other/file",
        "/data/../../other/file",
        "other/file",
        "/file",
        "$PWD/host/file",
    ] {
        let ran = script(
            &folder,
            &format!("$run --dir host::/data $tool -- cat {path}"),
        );
        ran.fails(1, &["tool: "]);
    }
    script(&folder, "$run $tool -- cat host/file").fails(1, &["tool: "]);
}

#[test]
fn folders_that_are_not_there_are_errors_at_once() {
    let folder = Folder::new();
    folder.file("file", "text");
    for dir in ["nothing", "nothing::/", "file", "nothing:ro"] {
        let ran = script(&folder, &format!("$run --dir {dir} $tool -- hello"));
        ran.fails(1, &["cannot open the folder `", "(--dir)"]);
    }
    for dir in ["''", "::/", ":ro"] {
        script(&folder, &format!("$run --dir {dir} $tool -- hello")).fails(2, &["--dir"]);
    }
}

#[test]
fn a_folder_for_reading_stays_as_it_is() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("data/sub")).unwrap();
    folder.file("data/file", "text");
    let before = script(&folder, "find data -printf '%p %s %T@ %C@ %n\\n' | sort");
    let run = "$run --dir data:ro";
    for (command, says) in [
        ("$tool -- write data/file other", "not permitted"),
        ("$tool -- write data/new other", "not permitted"),
        ("$tool -- append data/file other", "not permitted"),
        ("$tool -- random-access data/file", "not permitted"),
        ("$tool -- times data", "not permitted"),
        ("$tool -- links data", "not permitted"),
        ("$tool_c -- copy data/file data/copy", "not permitted"),
        ("$client -- touch data/file", "not-permitted"),
        ("$client -- touch data/sub", "not-permitted"),
        ("$client -- open-many data 1", "not-permitted"),
    ] {
        let ran = script(&folder, &format!("{run} {command}"));
        assert!(ran.stderr().contains(says), "{command}: {}", ran.stderr());
        assert_ne!(ran.0.status.code(), Some(0), "{command}");
    }
    let ran = script(&folder, &format!("{run} $tool -- folders data"));
    assert!(ran.stdout().contains("create: permission denied"));
    assert!(!ran.stdout().contains("done"), "{}", ran.stdout());
    script(&folder, &format!("{run} $tool -- cat data/file")).prints("text");
    script(&folder, &format!("{run} $tool -- tree data")).prints("file\nsub/\n");
    script(&folder, "find data -printf '%p %s %T@ %C@ %n\\n' | sort").prints(before.stdout());
}

#[test]
fn times_are_set_without_following_links() {
    let folder = Folder::new();
    folder.file("file", "text");
    script(
        &folder,
        "ln -s file link; $run --dir .::/ $client -- touch /link",
    )
    .prints("");
    let set = UNIX_EPOCH + Duration::new(1, 2);
    let link = fs::symlink_metadata(folder.path("link")).unwrap();
    assert_eq!(link.modified().unwrap(), set);
    assert_eq!(link.accessed().unwrap(), set);
    let file = fs::metadata(folder.path("file")).unwrap();
    assert!(file.mtime() > 1_000_000_000);
    script(&folder, "$run --dir .::/ $client -- touch /file").prints("");
    let file = fs::metadata(folder.path("file")).unwrap();
    assert_eq!(file.modified().unwrap(), set);
}

/// So many files that a program has open at a time: as many as one asks for in practice, or all
/// that this system lets a process have.
#[test]
fn ten_thousand_files_are_open_at_a_time() {
    let folder = Folder::new();
    let hard = script(&folder, "ulimit -Hn");
    let hard = hard.stdout().trim();
    let count = match hard.parse::<usize>() {
        Ok(hard) => 10_000.min(hard - 100),
        Err(_) => {
            assert_eq!(hard, "unlimited");
            10_000
        }
    };
    // The command asks the system for all that it may have.
    let run =
        format!("ulimit -Sn 256; mkdir many; $run --dir many $client -- open-many many {count}");
    script(&folder, &run).prints(&format!("{count} files\n"));
    assert_eq!(fs::read_dir(folder.path("many")).unwrap().count(), count);
    let last = folder.path(&format!("many/{}", count - 1));
    let text = fs::read_to_string(last).unwrap();
    assert_eq!(text, format!("the file {}", count - 1));
}

/// The adapter of preview 1 has 128 places, some of which are taken at first.
#[test]
fn programs_of_preview_1_have_a_hundred_files_open() {
    let folder = Folder::new();
    script(&folder, "$run --dir . $tool -- open-many . 120").prints("120 files\n");
    let ran = script(&folder, "$run --dir . $tool -- open-many . 130");
    ran.prints("the file after 124 others: out of memory\n124 files\n");
}

#[test]
fn a_program_has_no_more_files_than_the_system_allows() {
    let folder = Folder::new();
    let run = "ulimit -n 256; $run --dir . $client -- open-many . 1000";
    let ran = script(&folder, run);
    ran.fails(1, &["the file after ", " others: insufficient-memory"]);
    // A few are the command's.
    let count = ran
        .stderr()
        .split(' ')
        .find_map(|word| word.parse::<usize>().ok());
    assert!((150..256).contains(&count.unwrap()), "{}", ran.stderr());
}
