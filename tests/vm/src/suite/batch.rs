//! Which scripts share a guest. Pure.

use super::script::Script;
use crate::series::Series;

/// Scripts that one boot runs, one after another.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) series: Series,
    pub(super) scripts: Vec<Script>,
}

/// Scripts share a boot if they run on the same series with the same modules and none of them
/// asks for a guest of its own.
pub(super) fn batches(scripts: &[Script], series: impl Fn(&Script) -> Vec<Series>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for script in scripts {
        for series in series(script) {
            let fitting = batches
                .iter_mut()
                .find(|batch| batch.series == series && shares(&batch.scripts[0], script));
            match fitting {
                Some(batch) => batch.scripts.push(script.clone()),
                None => batches.push(Batch { series, scripts: vec![script.clone()] }),
            }
        }
    }
    batches.sort_by_key(|batch| (batch.series != Series::DEFAULT, batch.series));
    batches
}

fn shares(a: &Script, b: &Script) -> bool {
    let alone =
        |script: &Script| script.own_boot || script.icount.is_some() || script.memory.is_some();
    !alone(a) && !alone(b) && a.modules == b.modules
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn script(folder: &Path, name: &str, text: &str) -> Script {
        let path = folder.join(format!("{name}.sh"));
        fs::write(&path, text).unwrap();
        Script::read(&path).unwrap()
    }

    #[test]
    fn one_boot_a_kernel_unless_a_script_wants_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let scripts = [
            script(folder.path(), "a", "# also: 6.12 7\n"),
            script(folder.path(), "b", ""),
            script(folder.path(), "c", "# boot: own\n"),
            script(folder.path(), "d", "# modules: sctp\n"),
        ];
        let shown: Vec<String> = batches(&scripts, |script| script.series(false))
            .iter()
            .map(|batch| {
                let names: Vec<&str> =
                    batch.scripts.iter().map(|script| script.name.as_str()).collect();
                format!("{} {}", batch.series, names.join("+"))
            })
            .collect();
        assert_eq!(shown, ["6.12 a+b", "6.12 c", "6.12 d", "7 a"]);
    }
}
