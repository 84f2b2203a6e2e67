//! Making policies: a new crate, a component from it, and a look at a component.
//!
//! Not pure: runs cargo, reads and writes files. Nothing here prints; results are data that can
//! be displayed.

mod cargo;
mod check;
mod component;
mod template;

pub use cargo::{Build, BuildError, Built};
pub use check::{Checked, Configured, Decided, check, check_bytes};
pub use component::{ComponentError, componentize};
pub use template::{Created, New, NewError, Sdk, new};
