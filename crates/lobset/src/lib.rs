//! lobset turns a folder of Databento MBP-10 files (limit order book, ten levels a side) into one labelled Parquet
//! dataset per instrument, ready for training, and verifies what it wrote.
//!
//! The label of a row is the relative difference between the mean mid price just ahead and just behind, divided into
//! classes whose boundaries are fitted on the first half of the data only.
//!
//! Data flows in one direction:
//!
//! | step | module | from | to |
//! |---|---|---|---|
//! | read | [`input`] | DBN files | rows: a symbol, a usable quote |
//! | keep | `tape` | rows | work files: the inputs of the labels, and rows as changes |
//! | label | [`label`] | mid prices | movements, exact quantiles, classes, splits, marks |
//! | write | [`output`] | rows and labels | Parquet datasets, `README.md`, `manifest.json`, `report.html` |
//! | read back | [`dataset`], [`depth`] | datasets | samples for training: vectors, depth tensors |
//! | keep for loaders | [`cache`] | datasets | cache files: what samples are made of |
//! | prove | [`mod@validate`] | datasets | violations, or none |
//!
//! Files are named by path or URL ([`storage`]). The pipeline combines the steps: on the threads of this machine
//! ([`process`]), or as tasks that the caller runs ([`process_as_tasks`]). In ten lines:
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! use lobset::{Config, Monitor, Options, process};
//!
//! lobset_sim::Market { days: 2, rows: 4_000, ..Default::default() }.write("market".as_ref(), |_| ())?;
//! let config = Config { lookback_rows: 200, lookforward_input: 200, lookforward_offset: 20, nbins: 5, min_symbol_samples: 1_000, ..Config::default() };
//! let manifest = process(&["market"], "out".as_ref(), &config, None, &Options::default(), &Monitor::silent())?;
//! for (symbol, dataset) in manifest.datasets() {
//!     println!("{}: {} rows in {}", symbol.symbol, dataset.rows, dataset.file);
//! }
//! # assert_eq!(manifest.datasets().count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking"))]
#![cfg_attr(not(test), deny(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss))]

pub mod cache;
mod cast;
pub mod config;
pub mod dataset;
pub mod depth;
pub mod error;
pub mod input;
pub mod label;
mod near;
pub mod output;
mod pipeline;
mod printable;
mod report;
mod run;
pub mod settings;
pub mod storage;
mod tape;
mod time_text;
pub mod validate;

/// Parts of the pipeline for the benchmarks, tests and fuzz targets of this repository, which measure and check them
/// individually. They may change with any version.
#[doc(hidden)]
pub mod internals {
    pub use crate::input::catalog::{CatalogFile, catalog};
    pub use crate::input::find::find;
    pub use crate::input::quote::RowRules;
    pub use crate::input::symbols::Symbols;
    pub use crate::label::candidates::Candidates;
    pub use crate::label::kinds::Take;
    pub use crate::label::quantile::{Selection, inner_quantiles, interpolate, ranks};
    pub use crate::output::blocks::ROW_GROUP_ROWS;
    pub use crate::output::card::column_table;
    pub use crate::output::column::{Column, Role};
    pub use crate::output::dataset::DatasetWriter;
    pub use crate::output::kind::Kind;
    pub use crate::output::labels::{LabelBlock, TargetLabel};
    pub use crate::output::pages::PAGE_ROWS;
    pub use crate::output::row_group::RowGroupEncoder;
    pub use crate::output::schema::DatasetSchema;
    pub use crate::tape::{BOOK_WORDS, Row, RowCursor, SymbolTape, TapeWriter, is_price};
}

/// The version of this crate, as recorded in the outputs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use config::Config;
pub use error::{Error, Result};
pub use label::Thresholds;
pub use output::Manifest;
pub use output::{CARD, REPORT, THRESHOLDS};
pub use pipeline::{
    Cluster, Estimate, Executor, FileEstimate, Inspection, Receive, SymbolEstimate, SymbolInspection, Task, Threads,
    build, estimate, fit_thresholds, inspect, process, process_as_tasks, report, run_task,
};
pub use printable::{counted, grouped, printable};
pub use run::{Event, Monitor, Options, Stage};
pub use time_text::{Duration, Timestamp};
pub use validate::{explain, validate};
