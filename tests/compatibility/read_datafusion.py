"""DataFusion."""

from columns import from_arrow, probe


def read(path, names):
    from datafusion import SessionContext

    context = SessionContext()
    # One partition keeps the order of the rows. DataFusion 40 takes no SessionConfig alone.
    context.sql("set datafusion.execution.target_partitions = 1").collect()
    frame = context.read_parquet(str(path))
    return from_arrow((frame.select_columns(*names) if names else frame).to_arrow_table())


if __name__ == "__main__":
    probe(read)
