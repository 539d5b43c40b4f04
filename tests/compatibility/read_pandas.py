"""pandas, which reads through PyArrow."""

from columns import from_pandas, probe


def read(path, names):
    import pandas as pd

    return from_pandas(pd.read_parquet(path, engine="pyarrow", columns=names))


if __name__ == "__main__":
    probe(read)
