//! lobset turns Databento MBP-10 files into labelled Parquet datasets.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking"))]

pub mod config;
pub mod error;
pub mod input;
pub mod label;
pub mod settings;
pub mod tape;
mod time_text;

pub use config::Config;
pub use error::{Error, Result};
pub use time_text::Timestamp;
