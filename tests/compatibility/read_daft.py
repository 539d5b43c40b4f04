"""Daft."""

from columns import from_arrow, probe


def read(path, names):
    import daft

    frame = daft.read_parquet(str(path))
    return from_arrow((frame.select(*names) if names else frame).to_arrow())


if __name__ == "__main__":
    probe(read)
