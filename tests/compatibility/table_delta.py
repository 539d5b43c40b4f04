"""A Delta table, written with delta-rs from what PyArrow reads, and read back."""

import tempfile

from columns import from_arrow, probe


def read(path, names):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable, write_deltalake

    with tempfile.TemporaryDirectory() as folder:
        # A table has no order of its own.
        write_deltalake(folder, pq.read_table(path, columns=names and list({*names, "row"})))
        found = pa.table(DeltaTable(folder).to_pyarrow_table()).sort_by("row")
        return from_arrow(found.select(names) if names else found)


if __name__ == "__main__":
    probe(read)
