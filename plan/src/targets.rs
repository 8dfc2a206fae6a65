//! The disks that an install goes to, for whoever looks at what is on them before they are written.

use nii::v1::{Storage, StorageMode};
use uuid::Uuid;

use crate::complete;
use crate::disks;
use crate::facts::Facts;
use crate::package::marks;
use crate::stack::below;
use crate::table::Marks;

/// A disk of the machine that the NII selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its kernel path.
    pub disk: String,
    /// Its partitions that the install does not touch: kept ones, but for those that the root is made anew on (a volume of
    /// a kept group).
    pub kept: Vec<Uuid>,
    /// The partitions that the install makes on it. One that is there already was made by an earlier attempt of the same
    /// arming.
    pub made: Vec<Uuid>,
}

/// The disks that the NII selects, in its order; those that are not certain are left out, and their plan is refused.
pub fn targets(facts: &Facts, storage: &Storage, arming: Uuid) -> Vec<Target> {
    let storage = &*complete::complete(facts, storage).storage;
    let ours = storage.mode == StorageMode::Camphor;
    let marks = if ours { marks(storage) } else { Marks::default() };
    let root = storage.mounted_at("/").map_or_else(Vec::new, |root| below(storage, &root.device));
    let planned = disks::plan(facts, storage, arming, marks, &mut Vec::new());
    let target = |planned: disks::Planned<'_>| {
        let mut target = Target { disk: planned.disk.path.clone(), ..Target::default() };
        for entry in &planned.layout.table.partitions {
            match planned.layout.keep.contains(&entry.number) {
                false => target.made.push(entry.guid),
                true if planned.layout.label(entry.number).is_some_and(|label| root.contains(&label)) => {}
                true => target.kept.push(entry.guid),
            }
        }
        target
    };
    planned.into_iter().map(target).collect()
}
