//! What weir says of itself: health, metrics, status and explanations.

pub mod checks;
pub mod events;
pub mod explain;
pub mod health;
pub mod metrics;
pub mod mode;
pub mod profile;
pub mod redact;
pub mod status;
mod text_table;
