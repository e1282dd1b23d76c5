//! Which files are mapped where.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// The file that is mapped at an address, by the name that it had; `None` if that is no file.
pub(crate) fn file_at(address: usize) -> Option<PathBuf> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let mut lines = maps.split(|byte| *byte == b'\n');
    lines.find_map(|line| file_of_line(line, address))
}

/// The file of a line `START-END MODE OFFSET DEVICE INODE   PATH`, if the address is in the range.
fn file_of_line(line: &[u8], address: usize) -> Option<PathBuf> {
    // Names may be any bytes, and contain spaces.
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let range = std::str::from_utf8(fields.next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    let number = |digits| usize::from_str_radix(digits, 16).ok();
    if !(number(start)?..number(end)?).contains(&address) {
        return None;
    }
    let path = fields.nth(4)?.trim_ascii_start();
    path.starts_with(b"/")
        .then(|| PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = b"7f00-7f10 r-xp 00001000 fe:01 12345          /a b/c.cwasm";
        let path = Some(PathBuf::from("/a b/c.cwasm"));
        assert_eq!(file_of_line(line, 0x7f00), path);
        assert_eq!(file_of_line(line, 0x7f0f), path);
        assert_eq!(file_of_line(line, 0x7f10), None);
        assert_eq!(
            file_of_line(b"7f00-7f10 rw-p 00000000 00:00 0 ", 0x7f00),
            None
        );
        assert_eq!(
            file_of_line(b"7f00-7f10 rw-p 0 00:00 0   [heap]", 0x7f00),
            None
        );
        assert_eq!(file_of_line(b"", 0), None);
    }

    #[test]
    fn this_program_is_a_file() {
        let address = this_program_is_a_file as fn() as usize;
        assert_eq!(file_at(address), std::env::current_exe().ok());
        let local = 0;
        assert_eq!(file_at(std::ptr::from_ref(&local).addr()), None);
    }
}
