"""Spark, with its own reader. The option is a setting: KEY=VALUE."""

from columns import Column, probe, texts


def read(path, names, *settings):
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    builder = (
        SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.log.level", "OFF")
    )
    builder = builder.config("spark.sql.session.timeZone", "UTC").config(
        "spark.sql.execution.arrow.pyspark.enabled", "true"
    )
    for setting in settings:
        builder = builder.config(*setting.split("=", 1))
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    frame = spark.read.parquet("file://" + str(path).replace("%", "%25"))
    fields = [field for field in frame.schema.fields if not names or field.name in names]
    kinds = {field.name: field.dataType.simpleString() for field in fields}
    select = []
    for name, kind in kinds.items():
        if kind.startswith("timestamp"):
            value, none = F.expr(f"unix_micros(cast({name} as timestamp))"), 0
        elif kind in ("double", "float"):
            value, none = F.col(name).cast("double"), 0.0
        elif kind in ("string", "binary"):
            value, none = F.col(name).cast("string"), ""
        else:
            value, none = F.col(name).cast("bigint"), 0
        select += [F.coalesce(value, F.lit(none)).alias(name), F.isnull(name).alias(f"{name} is null")]
    rows = frame.select(*select).toPandas()
    columns = {}
    for name, kind in kinds.items():
        values = rows[name]
        plain = texts(values.tolist()) if kind in ("string", "binary") else values.to_numpy()
        factor = 1_000 if kind.startswith("timestamp") else 1
        columns[name] = Column(
            kind, plain * factor if factor > 1 else plain, rows[f"{name} is null"].to_numpy(dtype=bool)
        )
    return columns


if __name__ == "__main__":
    probe(read)
