//! Sums that were changed, with hashes updated to match: `validate` recomputes them from the rows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, UInt64Array};
use common::changed::{Columns, MOMENTS, Place, check, fit_hashes, refused};
use common::small;
use lobset::config::Derived;
use lobset::validate::Compare;
use lobset::{Config, Error, Monitor, Options};

/// The row of a column in the sums of the input with this place.
fn row(columns: &Columns, input: usize, name: &str) -> usize {
    let names = columns.batch.column_by_name("column").unwrap().as_string::<i32>();
    names.iter().enumerate().filter(|(_, found)| *found == Some(name)).nth(input).unwrap().0
}

/// Adds `more` to a value of a column.
fn add(columns: &mut Columns, name: &str, at: usize, more: i128) {
    columns.replace(name, |column| -> ArrayRef {
        if let Some(decimals) = column.as_primitive_opt::<Decimal128Type>() {
            let values = decimals.iter().enumerate().map(|(row, v)| v.map(|v| if row == at { v + more } else { v }));
            return Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(38, 0).unwrap());
        }
        if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
            // The smallest possible change.
            let values = floats.iter().enumerate().map(|(row, v)| v.map(|v| if row == at { v.next_up() } else { v }));
            return Arc::new(values.collect::<Float64Array>());
        }
        if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
            let values =
                numbers.values().iter().enumerate().map(|(row, v)| v + if row == at { more as i64 } else { 0 });
            return Arc::new(values.collect::<Int64Array>());
        }
        let counts = column.as_primitive::<UInt64Type>().values().iter().enumerate();
        Arc::new(
            counts
                .map(|(row, v)| v.wrapping_add_signed(if row == at { more as i64 } else { 0 }))
                .collect::<UInt64Array>(),
        )
    });
}

fn change(place: &Place, change: impl FnOnce(&mut Columns)) -> std::path::PathBuf {
    let out = place.out();
    let mut columns = Columns::read(&out.join(MOMENTS));
    change(&mut columns);
    columns.write(&out.join(MOMENTS));
    fit_hashes(&out);
    out
}

fn against(place: &Place, out: &Path) -> String {
    let inputs = Some((place.inputs.as_slice(), Compare::All));
    match lobset::validate(out, inputs, &Options::default(), &Monitor::silent()) {
        Err(error @ Error::Validation(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sums_that_differ_by_one_are_found_and_named() {
    let place = Place::new(&Config { derived: Derived::ALL.to_vec(), ..small() });
    let names: Vec<String> = lobset::Manifest::read(&place.out()).unwrap().inputs.into_iter().map(|i| i.name).collect();
    // The columns that every validation reads.
    for (column, sum) in [
        ("bid_px_00", "sum"),
        ("ask_px_00", "sum_of_squares"),
        ("mid_price", "sum"),
        ("bid_px_00", "fit_sum"),
        ("mid_price", "fit_sum_of_squares"),
        ("mid_price", "fit_count"),
        ("ask_px_00", "count"),
    ] {
        let input = usize::from(!sum.starts_with("fit"));
        let out = change(&place, |columns| add(columns, sum, row(columns, input, column), 1));
        let text = refused(&out);
        assert!(text.contains(&format!("{MOMENTS}: {}: {column}", names[input])), "{sum} of {column}: {text}");
    }
    // The other columns, recomputed from the raw files.
    for (column, sum) in [
        ("bid_px_09", "sum"),
        ("ask_ct_04", "fit_sum_of_squares"),
        ("sequence", "sum_of_squares"),
        ("ts_in_delta", "sum"),
        ("price", "count"),
        ("imbalance_03", "sum_float"),
        ("ofi_07", "fit_sum_float"),
        ("weighted_mid", "sum_of_squares_float"),
        ("spread", "fit_sum_of_squares_float"),
    ] {
        let input = usize::from(!sum.starts_with("fit"));
        let out = change(&place, |columns| add(columns, sum, row(columns, input, column), 1));
        check(&out).unwrap();
        let text = against(&place, &out);
        assert!(text.contains(&format!("{MOMENTS}: {}: {column}", names[input])), "{sum} of {column}: {text}");
    }
    let text = against(&place, &change(&place, |columns| add(columns, "fit_sum", row(columns, 0, "bid_sz_02"), -1)));
    let line = text.lines().find(|line| line.contains(MOMENTS)).unwrap();
    assert!(line.contains("bid_sz_02, fit rows: sum is ") && line.contains(", but the rows give "), "{line}");
}

#[test]
fn rows_that_count_for_another_input_are_found() {
    let place = Place::new(&small());
    let names: Vec<String> = lobset::Manifest::read(&place.out()).unwrap().inputs.into_iter().map(|i| i.name).collect();
    // The sums of both inputs are attributed to the first one: as sums of all rows they are right.
    let joined = change(&place, |columns| {
        let half = columns.rows() / 2;
        for name in ["count", "sum", "sum_of_squares", "fit_count", "fit_sum", "fit_sum_of_squares"] {
            let column = Arc::clone(columns.batch.column_by_name(name).unwrap());
            for row in 0..half {
                let more = match column.as_primitive_opt::<Decimal128Type>() {
                    Some(decimals) => decimals.value(half + row),
                    None => column.as_primitive::<UInt64Type>().value(half + row).into(),
                };
                add(columns, name, row, more);
            }
        }
        columns.batch = columns.batch.slice(0, half);
    });
    check(&joined).unwrap();
    let text = against(&place, &joined);
    let reason = format!(" comes from {}, but counts for {}", names[1], names[0]);
    assert!(text.contains(&format!("{MOMENTS}: row ")) && text.contains(&reason), "{text}");
}

#[test]
fn sums_of_another_dataset_or_form_are_refused() {
    let place = Place::new(&small());
    let text = |columns: &mut Columns, name: &str, change: &dyn Fn(usize, &str) -> String| {
        columns.replace(name, |column| {
            let texts = column.as_string::<i32>().iter().enumerate();
            Arc::new(StringArray::from_iter_values(texts.map(|(row, text)| change(row, text.unwrap()))))
        });
    };
    type Change<'a> = &'a dyn Fn(&mut Columns);
    let changes: [(Change<'_>, &str); 9] = [
        (&|c| text(c, "file", &|_, name| format!("x{name}")), "is not one of the inputs, or not in their order"),
        (
            &|c| text(c, "column", &|row, name| if row == 9 { "bid".into() } else { name.into() }),
            "is not the next column",
        ),
        (
            &|c| text(c, "column", &|_, name| name.replace("bid_sz_00", "bid_sz")),
            "its columns are not the numeric columns",
        ),
        (&|c| add(c, "divisor", 0, 1), "is not the next column of this input file"),
        (&|c| (0..2).for_each(|input| add(c, "divisor", row(c, input, "size"), 9)), "size: its divisor is 10, not 1"),
        (&|c| c.batch = c.batch.slice(0, c.rows() / 2), "its rows of all inputs are not"),
        (&|c| c.batch = c.batch.slice(0, c.rows() - 1), "its last input file lacks columns"),
        (&|c| drop(c.metadata.insert("lobset.symbol".to_owned(), "M6AU4".to_owned())), "does not name the symbol"),
        (&|c| drop(c.metadata.remove("lobset.version")), "its metadata lacks lobset.version"),
    ];
    for (change_it, reason) in changes {
        let found = refused(&change(&place, change_it));
        assert!(found.contains(&format!("{MOMENTS}: ")) && found.contains(reason), "{reason:?} is not in {found}");
    }
    let without = change(&place, |c| c.batch = c.batch.project(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap());
    assert!(refused(&without).contains("its targets are not those of the settings"));
}
