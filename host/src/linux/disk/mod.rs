//! Disks: their tables, their partitions as the kernel knows them, and the journal's record.
//!
//! * [`block`]: reading, writing and flushing a whole disk; [`gpt`]: the table on it, and the order of its writes.
//! * [`partitions`]: what the kernel makes of a table (sysfs, BLKPG, nodes in /dev).
//! * [`table`]: the ops that change a table; [`erase`]: all else on a disk; [`record`]: the journal's record in its partition;
//!   [`swap`]: swap space.
//! * [`firmware_raid`]: disks that belong to an array of the firmware's.
//! * [`superblock`]: what lies on a disk or a partition, for people.
//! * [`contents`]: where file systems are, also within RAID members and physical volumes; [`loops`]: a part of a device, to mount.
//! * [`claim`]: whether disks are still what they were; [`device`]: what an op names, found again; [`release`]: mounts, swap, mappings and arrays that must go.
//! * [`survey`]: the disks of a machine, as facts; [`attachment`]: how and where one is attached; [`holders`]: what the kernel
//!   has built on them.

mod ata;
mod attachment;
pub mod block;
pub mod claim;
pub mod contents;
pub mod device;
pub mod erase;
pub mod firmware_raid;
pub mod gpt;
pub mod groups;
pub mod holders;
pub mod loops;
pub mod partitions;
pub mod record;
pub mod release;
pub mod superblock;
pub mod survey;
pub mod swap;
pub mod table;
#[cfg(test)]
mod tree;
