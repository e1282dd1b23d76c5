//! Pages that the system takes from memory.

/// Has the system write all memory of this process to swap that is not of files, if it has swap:
/// whether it has. What is in the memory stays.
#[allow(unsafe_code, reason = "gives advice on memory of other owners")]
pub(crate) fn page_out() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, inode) = (words.next().unwrap(), words.nth(3).unwrap());
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).unwrap());
        if inode == "0" && !line.contains('[') {
            let address = std::ptr::with_exposed_provenance_mut(start);
            // SAFETY: no access sees a difference, whoever has the memory. Where another thread
            // has unmapped it by now, it is an error.
            unsafe { libc::madvise(address, end - start, libc::MADV_PAGEOUT) };
        }
    }
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    swaps.lines().count() > 1
}

/// Bytes of this process that are in swap.
pub(crate) fn swapped() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSwap:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    kib.unwrap().parse::<usize>().unwrap() << 10
}
