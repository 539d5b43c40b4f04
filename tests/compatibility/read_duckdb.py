"""DuckDB."""

import numpy as np
from columns import Column, probe, texts


def read(path, names):
    import duckdb

    connection = duckdb.connect()
    connection.execute("set preserve_insertion_order = true")
    file = "read_parquet('" + str(path).replace("'", "''") + "')"
    described = connection.execute(f"describe select {', '.join(names or ['*'])} from {file}").fetchall()
    columns = {}
    for name, kind, *_ in described:
        if kind.startswith("TIMESTAMP"):
            value, dtype = f"coalesce(epoch_ns({name}), 0)", np.int64
        elif kind in ("DOUBLE", "FLOAT"):
            value, dtype = f"coalesce({name}, 0.0)", np.float64
        elif kind == "BOOLEAN" or "INT" in kind:
            value, dtype = f"coalesce({name}::bigint, 0)", np.int64
        else:
            value, dtype = f"coalesce({name}::varchar, '')", object
        found = connection.execute(f"select {value} as v, ({name} is null) as gone from {file}").fetchnumpy()
        values = texts(found["v"]) if dtype is object else np.asarray(found["v"], dtype=dtype)
        columns[name] = Column(kind.lower(), values, np.asarray(found["gone"], dtype=bool))
    return columns


if __name__ == "__main__":
    probe(read)
