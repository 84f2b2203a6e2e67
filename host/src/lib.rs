//! weir, a Kubernetes service proxier: the daemon and its command line.
//!
//! The walk of one event: [`watch`] (Kubernetes objects in) → [`reconcile`] (fold, decide, compile,
//! diff) → [`kernel`] (netlink out) → [`report`]. [`drive`] is the thread that owns the reconciler
//! and the kernel; [`app`] starts everything around it.

pub mod admin;
pub mod allowance;
pub mod app;
pub mod args;
pub mod base;
pub mod commands;
pub mod config;
pub mod drive;
pub mod files;
pub mod http;
pub mod keep;
pub mod kernel;
pub mod log;
pub mod pace;
pub mod policies;
pub mod policy_cmd;
pub mod reconcile;
pub mod report;
pub mod resident;
pub mod traces;
pub mod watch;
