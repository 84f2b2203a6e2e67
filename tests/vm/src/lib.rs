//! Boots a stock Debian kernel in QEMU and runs a command in it.
//!
//! Tests that need IPVS, flowtables or a network of their own run in such a guest: it leaves the
//! machine's own network alone, needs no root, and the kernel is one that users run. A guest has
//! no network device; tests make network namespaces inside it. [`Guest`] describes and runs one;
//! the `weir-vm` command does the same from a shell; [`suite`] runs `tests/guest/*.sh`.

mod accel;
mod apt;
mod cache;
mod cpio;
mod error;
mod guest;
mod host;
mod image;
mod job;
mod kernel;
mod programs;
mod qemu;
mod series;
mod sources;
mod tree;

pub mod suite;

pub use accel::Wish;
pub use apt::PrivateApt;
pub use cache::Cache;
pub use error::{Error, Result};
pub use guest::{Ending, Guest, Outcome};
pub use image::Image;
pub use job::Mount;
pub use kernel::Kernel;
pub use qemu::Accel;
pub use series::Series;
pub use sources::Mirrors;
