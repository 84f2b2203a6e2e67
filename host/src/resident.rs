//! What of the daemon is in memory beyond what it allocates.
//!
//! Half of the program's code is the compiler of policies, which runs once for each policy file, and what
//! a start needs isn't needed again. The pages would stay resident for as long as the node has memory to
//! spare, and count as the daemon's. Huge pages, which many distributions use wherever they can, round each
//! part of the heap up to 2 MiB.
//!
//! Not pure: reads /proc/self/maps and advises the kernel.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// From now on no page of this process is a huge one (`PR_SET_THP_DISABLE` of prctl(2)): those that are stay.
///
/// # Errors
/// The kernel refuses.
pub fn small_pages() -> io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(true)?)
}

/// Takes every page of the program's own file out of this process's memory; those that are used again
/// come back from the file, one by one (`MADV_PAGEOUT` of madvise(2)).
///
/// # Errors
/// /proc/self/maps can't be read, or the kernel refuses.
pub fn give_back() -> io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let here = give_back as fn() -> io::Result<()> as usize;
    for range in same_file(&maps, here) {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        #[allow(unsafe_code, reason = "rustix can't know which advice changes what memory holds")]
        // SAFETY: the advice changes where pages are, never what is read from them.
        unsafe {
            madvise(start, range.len(), Advice::LinuxPageOut)?;
        }
    }
    Ok(())
}

/// The mappings that can't be written of the file that is mapped at an address: `maps` is as
/// proc_pid_maps(5) says.
fn same_file(maps: &str, at: usize) -> Vec<Range<usize>> {
    let all: Vec<_> = maps.lines().filter_map(Mapping::parse).collect();
    let Some(one) = all.iter().find(|it| it.range.contains(&at)) else { return Vec::new() };
    let of_it = all.iter().filter(|it| it.file == one.file && !it.written);
    of_it.map(|it| it.range.clone()).collect()
}

struct Mapping<'a> {
    range: Range<usize>,
    written: bool,
    /// Device and inode.
    file: (&'a str, &'a str),
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let range = number(start)?..number(end)?;
        let written = fields.next()?.contains('w');
        let file = (fields.nth(1)?, fields.next()?);
        Some(Self { range, written, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_read_of_the_one_file_is_given_back() {
        let maps = "\
55d000000000-55d000001000 r--p 00000000 fe:00 12 /usr/bin/weir
55d000001000-55d000005000 r-xp 00001000 fe:00 12 /usr/bin/weir
55d000005000-55d000006000 rw-p 00005000 fe:00 12 /usr/bin/weir
55d000100000-55d000200000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000001000 r-xp 00000000 fe:00 13 /lib/libc.so.6
7f0000001000-7f0000002000 r-xp 00000000 fe:01 12 /lib/libmnl.so.0
";
        let found = same_file(maps, 0x55d0_0000_2345);
        let all = [0x55d0_0000_0000..0x55d0_0000_1000, 0x55d0_0000_1000..0x55d0_0000_5000];
        assert_eq!(found, all);
        assert!(same_file(maps, 0x1000).is_empty());
    }

    #[test]
    fn the_program_goes_on_without_its_pages() {
        give_back().unwrap();
        assert_eq!("12".parse(), Ok(12));
    }
}
