//! Which modules go in: the ones asked for, what they need, and what they wish for.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::index::{Index, Lookup};
use super::sets::ModuleSet;

/// The result of the choice.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Names of modules, closed under needs and wishes.
    pub modules: BTreeSet<String>,
    /// How many names were asked for that are part of the kernel image.
    pub builtin: usize,
}

/// Chooses the modules of `sets`, as far as this kernel has them, and those of `names`, which it must have.
pub fn choose(index: &Index, sets: &[ModuleSet], names: &[String]) -> Result<Chosen> {
    let mut chosen = Chosen::default();
    for name in sets.iter().flat_map(|set| set.modules()) {
        chosen.ask(index, name);
    }
    let absent: Vec<&str> =
        names.iter().filter(|name| !chosen.ask(index, name)).map(String::as_str).collect();
    if !absent.is_empty() {
        bail!(
            "kernel {} has no module {}: neither modules.dep nor modules.builtin in {} names it",
            index.version,
            absent.join(", "),
            index.dir.display()
        );
    }
    Ok(chosen)
}

impl Chosen {
    /// Takes a name in; false if the kernel does not know it.
    fn ask(&mut self, index: &Index, name: &str) -> bool {
        match index.lookup(name) {
            Lookup::Modules(found) => found.into_iter().for_each(|module| self.take(index, module)),
            Lookup::Builtin => self.builtin += 1,
            Lookup::Absent => return false,
        }
        true
    }

    /// Takes a module in with all that it leads to. A wish may lead back to its wisher: each is visited once.
    fn take(&mut self, index: &Index, module: String) {
        let mut todo = vec![module];
        while let Some(name) = todo.pop() {
            let Some(module) = index.modules.get(&name) else { continue };
            if !self.modules.insert(name.clone()) {
                continue;
            }
            todo.extend(module.needs.iter().cloned());
            for wish in index.wishes.get(&name).into_iter().flatten() {
                if let Lookup::Modules(found) = index.lookup(wish) {
                    todo.extend(found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::index::tests::made_up;

    fn names(chosen: &Chosen) -> Vec<&str> {
        chosen.modules.iter().map(String::as_str).collect()
    }

    #[test]
    fn needs_and_wishes_come_along() {
        let chosen = choose(&made_up(), &[], &["sum-b".into()]).unwrap();
        // base wishes other, which wishes app, which wishes both crypto-sum modules: a circle.
        assert_eq!(names(&chosen), ["app", "base", "lib_one", "other", "sum_a", "sum_b"]);
        let chosen = choose(&made_up(), &[], &["sum_a".into()]).unwrap();
        assert_eq!(names(&chosen), ["sum_a"]);
    }

    #[test]
    fn builtin_modules_are_counted_not_packed() {
        let chosen = choose(&made_up(), &[], &["ext".into()]).unwrap();
        assert_eq!(chosen, Chosen { builtin: 1, ..Chosen::default() });
    }

    #[test]
    fn a_set_may_name_what_is_absent_and_a_person_may_not() {
        assert_eq!(choose(&made_up(), &[ModuleSet::Net], &[]).unwrap(), Chosen::default());
        let error = choose(&made_up(), &[], &["nowhere".into(), "gone".into()]).unwrap_err().to_string();
        assert!(error.starts_with("kernel 1.2.3 has no module nowhere, gone"), "{error}");
    }
}
