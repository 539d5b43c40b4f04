"""chDB, which is ClickHouse."""

from columns import from_arrow, probe


def read(path, names):
    import chdb

    file = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return from_arrow(
        chdb.query(
            f"select {', '.join(names or ['*'])} from file('{file}', Parquet) settings input_format_parquet_preserve_order = 1, max_threads = 1",
            "ArrowTable",
        )
    )


if __name__ == "__main__":
    probe(read)
