"""PyArrow."""

from columns import from_arrow, probe


def read(path, names):
    import pyarrow.parquet as pq

    return from_arrow(pq.read_table(path, columns=names))


if __name__ == "__main__":
    probe(read)
