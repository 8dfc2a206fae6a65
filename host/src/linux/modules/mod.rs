//! Kernel modules, as depmod(8) describes them and without any tool: what depends on what, and loading it.
//!
//! * [`index`]: modules.dep, .alias, .softdep, .builtin as text; which files a name or a modalias needs, in order.
//! * [`load`]: loading them, and cold-plugging the hardware that is present.

pub mod index;
pub mod load;

pub use index::Index;
pub use load::Modules;
