//! `ok - …` and `not ok - …` lines, and the exit code they add up to.

use std::fmt::Debug;

#[derive(Default)]
pub(crate) struct Report {
    failed: usize,
}

impl Report {
    pub(crate) fn check(&mut self, text: &str, good: bool) {
        self.failed += usize::from(!good);
        println!("{} - {text}", if good { "ok" } else { "not ok" });
    }

    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, text: &str, want: &T, got: &T) {
        self.check(text, want == got);
        if want != got {
            println!("wanted: {want:?}\n   got: {got:?}");
        }
    }

    /// Two collections, of which only the difference is printed.
    pub(crate) fn same<T: Ord + Debug + Clone>(&mut self, text: &str, want: &[T], got: &[T]) {
        let (mut want, mut got) = (want.to_vec(), got.to_vec());
        want.sort();
        got.sort();
        self.check(text, want == got);
        if want != got {
            println!(
                "missing: {:#?}",
                want.iter().filter(|line| !got.contains(line)).collect::<Vec<_>>()
            );
            println!(
                "surplus: {:#?}",
                got.iter().filter(|line| !want.contains(line)).collect::<Vec<_>>()
            );
            println!("counts: {} and {}", want.len(), got.len());
        }
    }

    pub(crate) fn code(&self) -> std::process::ExitCode {
        u8::from(self.failed > 0).into()
    }
}
