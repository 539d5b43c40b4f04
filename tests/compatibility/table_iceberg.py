"""An Iceberg table, written with PyIceberg from what PyArrow reads, and read back. The options are the format's version
and, for version 2, `downcast`."""

import os
import tempfile

from columns import from_arrow, probe


def read(path, names, version, *options):
    os.environ["PYICEBERG_DOWNCAST_NS_TIMESTAMP_TO_US_ON_WRITE"] = str("downcast" in options)
    import pyarrow.parquet as pq
    from pyiceberg.catalog.sql import SqlCatalog

    table = pq.read_table(path, columns=names)
    with tempfile.TemporaryDirectory() as folder:
        catalog = SqlCatalog("local", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
        catalog.create_namespace("lobset")
        made = catalog.create_table("lobset.rows", schema=table.schema, properties={"format-version": version})
        made.append(table)
        found = made.scan().to_arrow()
        return from_arrow(found.sort_by("row") if "row" in found.column_names else found)


if __name__ == "__main__":
    probe(read)
