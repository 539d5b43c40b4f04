"""A dataset's columns in a plain form to which every reader's can be brought, and how one reader's differ from another's."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KINDS = {"int": np.int64, "float": np.float64}
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass
class Column:
    """A column: stamps are integers of nanoseconds, truth values are 0 and 1; what is missing holds nothing that counts."""

    type: str
    """The reader's own name for its type."""
    values: np.ndarray
    """int64, float64, or an object array of texts."""
    missing: np.ndarray
    """True where the value is null."""

    @property
    def kind(self):
        return next((kind for kind, dtype in KINDS.items() if self.values.dtype == dtype), "text")


def differences(reference, found):
    """What a reader's columns say that the reference does not, as short texts by column: none when they are the same."""
    texts = {}
    for name, want in reference.items():
        if name not in found:
            texts[name] = "is not there"
        elif text := difference(want, found[name]):
            texts[name] = text
    texts |= {name: "is not in the file" for name in found if name not in reference}
    return texts


def difference(want, have):
    if len(want.values) != len(have.values):
        return f"has {len(have.values):,} rows, not {len(want.values):,}"
    if lost := np.count_nonzero(want.missing & ~have.missing):
        return f"{lost:,} nulls are values"
    if lost := np.count_nonzero(have.missing & ~want.missing):
        return f"{lost:,} values are null"
    there = ~want.missing
    a, b = want.values[there], have.values[there]
    if want.kind != have.kind and "text" in (want.kind, have.kind):
        return f"is {have.kind}, not {want.kind}"
    wrong = a != b
    if not wrong.any():
        return None
    for unit, factor in (("microseconds", 10**3), ("milliseconds", 10**6)):
        if want.kind == "int" and np.array_equal(b, a // factor * factor):
            return f"is cut to {unit}"
    at = np.flatnonzero(wrong)[0]
    return f"differs in {np.count_nonzero(wrong):,} of {len(a):,} values, first {b[at]!r} in place of {a[at]!r}"


def from_arrow(table):
    """The columns of a PyArrow table."""
    import pyarrow as pa

    columns = {}
    for name in table.column_names:
        column, kind = table[name], table[name].type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        missing = np.array(column.is_null().to_numpy(), dtype=bool)
        if pa.types.is_timestamp(plain):
            values = whole(column.cast(pa.int64())) * UNITS[plain.unit]
        elif pa.types.is_boolean(plain) or pa.types.is_integer(plain) or pa.types.is_decimal(plain):
            values = whole(column.cast(pa.int64()))
        elif pa.types.is_floating(plain):
            values = column.cast(pa.float64()).to_numpy()
        else:
            values = texts(column.to_pylist())
        columns[name] = Column(str(kind), values, missing)
    return columns


def whole(column):
    """An integer column of PyArrow with 0 for null."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(column, 0).to_numpy(), dtype=np.int64)


def from_pandas(frame):
    """The columns of a pandas frame."""
    columns = {}
    for name in frame.columns:
        series = frame[name]
        missing = series.isna().to_numpy(dtype=bool)
        kind = series.dtype.kind if hasattr(series.dtype, "kind") else "O"
        if kind == "M":
            stamps = series.dt.tz_localize(None) if getattr(series.dtype, "tz", None) else series
            unit = np.datetime_data(stamps.to_numpy().dtype)[0]
            values = np.where(missing, 0, stamps.to_numpy().astype(np.int64)) * UNITS[unit]
        elif kind in "iub":
            values = (
                series.fillna(series.dtype.type(0)).to_numpy(dtype=np.int64)
                if missing.any()
                else series.to_numpy().astype(np.int64)
            )
        elif kind == "f":
            values = series.to_numpy(dtype=np.float64)
        else:
            values = texts(series.tolist())
        columns[name] = Column(str(series.dtype), values, missing)
    return columns


def texts(values):
    """An object array of texts; bytes that are UTF-8 count as the text."""
    decoded = [v.decode() if isinstance(v, bytes) else v for v in values]
    array = np.empty(len(decoded), dtype=object)
    array[:] = decoded
    return array


def save(columns, folder):
    """Writes columns where [`load`] reads them; probes in other languages write the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, column in enumerate(columns.values()):
        column.missing.astype(np.uint8).tofile(folder / f"{number}.missing")
        if column.kind == "text":
            values = ["" if gone else str(v) for v, gone in zip(column.values, column.missing, strict=True)]
            (folder / f"{number}.values").write_text(json.dumps(values), encoding="utf-8")
        else:
            column.values.tofile(folder / f"{number}.values")
    index = [{"name": name, "kind": c.kind, "type": c.type} for name, c in columns.items()]
    (folder / "columns.json").write_text(json.dumps(index), encoding="utf-8")


def load(folder):
    """Reads what a probe has written."""
    columns = {}
    for number, entry in enumerate(json.loads((folder / "columns.json").read_text(encoding="utf-8"))):
        missing = np.fromfile(folder / f"{number}.missing", dtype=np.uint8).astype(bool)
        path = folder / f"{number}.values"
        if entry["kind"] == "text":
            values = texts(json.loads(path.read_text(encoding="utf-8")))
        else:
            values = np.fromfile(path, dtype=KINDS[entry["kind"]])
        columns[entry["name"]] = Column(entry["type"], values, missing)
    return columns


def probe(read):
    """The main of a probe: `python PROBE FILE FOLDER NAMES [OPTION…]` reads the file and writes its columns into the folder.
    Where the file as a whole fails, its columns are read one by one, and `errors.json` says which fail and why."""
    path, folder, names, *options = sys.argv[1:]
    errors = {}
    try:
        columns = read(path, None, *options)
    except BaseException as error:
        errors[""] = reason(error)
        columns = {}
        for name in names.split(","):
            if not columns and len(errors) > 4:
                break  # The file itself is what it cannot read.
            try:
                columns |= read(path, [name], *options)
            except BaseException as error:
                errors[name] = reason(error)
    save(columns, Path(folder))
    (Path(folder) / "errors.json").write_text(json.dumps(errors), encoding="utf-8")


def reason(error):
    """The line of an error that says the most: of a Java stack the innermost cause, else the first."""
    lines = [line.strip(": \t") for line in str(error).splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by:")]
    if lines and lines[0].startswith("An error occurred while calling"):
        return causes[-1] if causes else lines[1]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
