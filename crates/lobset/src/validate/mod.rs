//! Phase 3: reads the written datasets back and proves them.
//!
//! A proof shares little code with what it proves. The expected contents of a dataset follow from `definition.rs`,
//! which is written from the documentation only. Validation shares with the writer:
//!
//! - types without rules of their own: settings, thresholds, manifest, splits, and the schema of a dataset;
//! - the reading of files, from disk or from an object store, and their hashes;
//! - the decoding of DBN records, the resolution of their symbols, and the settings `publishers`, `symbols` and `unmapped`;
//! - the reading of the sums of a dataset, and which columns are numeric; the sums are recomputed value by value.
//!
//! The writer encodes pages itself; the proof decodes them with the `parquet` crate.

mod against;
mod certificate;
mod contents;
mod datasets;
mod definition;
mod drawn;
mod every_row;
mod explain;
mod facts;
mod fields;
mod fit_counts;
mod folder;
mod footer;
mod group;
mod kinds;
mod known;
mod labels;
mod leak;
mod movement;
mod prove;
mod quotes;
mod raw;
mod raw_file;
mod raw_row;
mod reading;
mod sequence;
mod sessions;
mod summary;
mod sums;
mod target;
mod validation;
mod violations;

pub use against::{Against, Compare};
pub use certificate::{Certificate, CertifiedInput, certify};
pub(crate) use datasets::{Dataset, Proved, Terms, prove_datasets};
pub use definition::Break;
pub use drawn::AGAINST_ROWS;
pub use explain::{
    ClassStep, DroppedRecord, Explanation, MarkStep, MovementStep, RecordAt, SplitStep, StoredRow, StoredValue,
    Stretch, TargetExplanation, explain,
};
pub(crate) use facts::Extent;
pub(crate) use fit_counts::TargetFitCounts;
pub use kinds::{BarrierAt, BarrierSteps, MeansSteps, RowTime, Steps, TimeSteps, Window};
pub(crate) use prove::{prove, prove_here};
pub(crate) use summary::proved_after_writing;
pub use validation::{Validation, validate};
