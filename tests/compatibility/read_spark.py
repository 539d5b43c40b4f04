"""Spark, with its own reader. The option is a setting: KEY=VALUE."""

import numpy as np
from columns import Column, probe, texts


def read(path, names, *settings):
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.log.level", "OFF")
    builder = builder.config("spark.sql.session.timeZone", "UTC").config("spark.sql.execution.arrow.pyspark.enabled", "true")
    for setting in settings:
        builder = builder.config(*setting.split("=", 1))
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    frame = spark.read.parquet("file://" + str(path).replace("%", "%25"))
    columns = {}
    for field in frame.schema.fields:
        if names and field.name not in names:
            continue
        kind = field.dataType.simpleString()
        if kind.startswith("timestamp"):
            stamp = f"cast({field.name} as timestamp)" if kind == "timestamp_ntz" else field.name
            value, factor, none = F.expr(f"unix_micros({stamp})"), 1_000, 0
        elif kind in ("double", "float"):
            value, factor, none = F.col(field.name).cast("double"), 1, 0.0
        elif kind in ("string", "binary"):
            value, factor, none = F.col(field.name).cast("string"), None, ""
        else:
            value, factor, none = F.col(field.name).cast("bigint"), 1, 0
        found = frame.select(F.coalesce(value, F.lit(none)).alias("v"), F.isnull(field.name).alias("gone")).toPandas()
        values = texts(found["v"].tolist()) if factor is None else found["v"].to_numpy() * factor
        columns[field.name] = Column(kind, values, found["gone"].to_numpy(dtype=bool))
    return columns


if __name__ == "__main__":
    probe(read)
