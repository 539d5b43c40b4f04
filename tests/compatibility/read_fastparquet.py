"""fastparquet."""

from columns import from_pandas, probe


def read(path, names):
    import fastparquet

    return from_pandas(fastparquet.ParquetFile(str(path)).to_pandas(columns=names))


if __name__ == "__main__":
    probe(read)
