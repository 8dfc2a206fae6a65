//! Taking over a site from another system: its files are read into one shape, which is then held against the store.
//!
//! * [`formats`]: the shape, and what of it each system's files say.
//! * [`proposal`]: what of it can be added here, and what not, with the reason.
//!
//! What the other system knows beside (images, kernels, partitions, secrets) is made anew here: it is named, not guessed.

pub mod formats;
pub mod proposal;
