"""DataFusion."""

from columns import from_arrow, probe


def read(path, names):
    from datafusion import SessionConfig, SessionContext

    # One partition keeps the order of the rows.
    context = SessionContext(SessionConfig().with_target_partitions(1))
    frame = context.read_parquet(str(path))
    return from_arrow((frame.select_columns(*names) if names else frame).to_arrow_table())


if __name__ == "__main__":
    probe(read)
