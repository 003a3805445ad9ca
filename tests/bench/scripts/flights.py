"""The bounded form of the flights' features with another engine, for the bench.

Usage: flights.py ENGINE WAY DATA OUT

Reads flights.csv, weather.csv and planes.csv of the folder DATA, joins each flight with the weather of the hour before and with its
aeroplane, computes age and label, and writes into the folder OUT the samples of months 1-10 and 11-12 as Parquet and the share of
late flights of each hour and airport as CSV: what `tests/bench/flights.toml` says. WAY is one of the engine's own tunings.
Prints how many rows it has written.
"""

import os
import sys
from pathlib import Path

FLIGHTS = ["time_hour", "month", "flight", "origin", "dest", "carrier", "tailnum", "distance", "hour", "dep_delay"]
WEATHER = ["origin", "time_hour", "temp", "wind_speed", "visib", "precip"]
PLANES = ["tailnum", "seats", "year"]


def by_pandas(way, data, out):
    import pandas as pd

    options = {
        "default": {},
        "pyarrow-reader": {"engine": "pyarrow"},
        "pyarrow": {"engine": "pyarrow", "dtype_backend": "pyarrow"},
    }[way]

    def read(name, columns):
        rows = pd.read_csv(data / name, usecols=columns, **options)
        if "time_hour" in columns:
            rows["time_hour"] = pd.to_datetime(rows["time_hour"], utc=True)
        return rows

    flights, weather, planes = read("flights.csv", FLIGHTS), read("weather.csv", WEATHER), read("planes.csv", PLANES)
    flights = flights[flights["dep_delay"].notna()]
    weather["time_hour"] += pd.Timedelta(hours=1)
    samples = flights.merge(weather, how="left", on=["origin", "time_hour"]).merge(planes, how="left", on="tailnum")
    samples["age"] = 2013 - samples["year"]
    samples["late"] = samples["dep_delay"] > 15
    samples = samples.drop(columns=["year", "dep_delay"])
    is_early = samples["month"] <= 10
    samples[is_early].to_parquet(out / "train.parquet", index=False)
    samples[~is_early].to_parquet(out / "held-out.parquet", index=False)
    hours = samples.groupby(["time_hour", "origin"])["late"].agg(flights="size", delay_rate="mean").reset_index()
    hours.to_csv(out / "hourly.csv", index=False)
    return len(samples)


def by_duckdb(way, data, out):
    import duckdb

    connection = duckdb.connect()
    settings = {"default": "", "one-thread": "SET threads = 1", "any-order": "SET preserve_insertion_order = false"}
    connection.execute(settings[way])
    for name in ["flights", "weather", "planes"]:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_csv('{data}/{name}.csv', nullstr = 'NA')")
    connection.execute(
        """
        CREATE TABLE samples AS
        WITH joined AS (
          SELECT f.time_hour, f.month, f.flight, f.origin, f.dest, f.carrier, f.tailnum, f.distance, f.hour, f.dep_delay,
            w.temp, w.wind_speed, w.visib, w.precip
          FROM flights f LEFT JOIN weather w
            ON f.origin = w.origin AND w.time_hour = f.time_hour - INTERVAL '1 hour'
        )
        SELECT j.* EXCLUDE (dep_delay), p.seats, 2013 - p.year AS age, j.dep_delay > 15 AS late
        FROM joined j LEFT JOIN planes p ON j.tailnum = p.tailnum
        WHERE j.dep_delay IS NOT NULL
        """
    )
    connection.execute(f"COPY (FROM samples WHERE month <= 10) TO '{out}/train.parquet'")
    connection.execute(f"COPY (FROM samples WHERE month > 10) TO '{out}/held-out.parquet'")
    connection.execute(
        f"""
        COPY (
          SELECT time_hour, origin, count(*) AS flights, avg(CASE WHEN late THEN 1.0 ELSE 0.0 END) AS delay_rate
          FROM samples GROUP BY time_hour, origin
        ) TO '{out}/hourly.csv'
        """
    )
    return connection.execute("SELECT count(*) FROM samples").fetchone()[0]


def by_polars(way, data, out):
    if way == "one-thread":
        os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as pl

    def scan(name, columns):
        options = {"null_values": "NA", "infer_schema_length": 10_000, "try_parse_dates": True}
        return pl.scan_csv(data / name, **options).select(columns)

    weather = scan("weather.csv", WEATHER).with_columns(pl.col("time_hour") + pl.duration(hours=1))
    samples = (
        scan("flights.csv", FLIGHTS)
        .filter(pl.col("dep_delay").is_not_null())
        .join(weather, on=["origin", "time_hour"], how="left")
        .join(scan("planes.csv", PLANES), on="tailnum", how="left")
        .with_columns(age=2013 - pl.col("year"), late=pl.col("dep_delay") > 15)
        .drop("year", "dep_delay")
        .collect(engine="streaming" if way == "streaming" else "auto")
    )
    samples.filter(pl.col("month") <= 10).write_parquet(out / "train.parquet")
    samples.filter(pl.col("month") > 10).write_parquet(out / "held-out.parquet")
    hours = samples.group_by("time_hour", "origin").agg(flights=pl.len(), delay_rate=pl.col("late").mean())
    hours.write_csv(out / "hourly.csv")
    return len(samples)


ENGINES = {"pandas": by_pandas, "duckdb": by_duckdb, "polars": by_polars}

if __name__ == "__main__":
    _, engine, way, data, out = sys.argv
    print(ENGINES[engine](way, Path(data), Path(out)))
