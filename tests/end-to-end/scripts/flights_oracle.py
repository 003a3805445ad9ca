"""Holds what the example flights-features has written against pandas, row by row.

`flights_oracle.py FOLDER [--inner]`: FOLDER has `job.toml`, `data/` and `out/`. Of the job file only the operator's config is read; what its
queries mean is written here once more. Ends with 1 at the first difference of a file, and says which row and column it is.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import numpy
import pandas
import pyarrow
import pyarrow.parquet

HOUR = pandas.Timedelta(hours=1)
# What no two rows have alike.
FLIGHT = ["time_hour", "carrier", "flight", "origin"]
WINDOW = ["hour", "origin"]
TYPES = {
    "time_hour": pyarrow.timestamp("us", "UTC"),
    "month": pyarrow.int64(),
    "flight": pyarrow.int64(),
    "origin": pyarrow.string(),
    "carrier": pyarrow.string(),
    "tailnum": pyarrow.string(),
    "late": pyarrow.bool_(),
}


def read(path):
    return pandas.read_csv(path, keep_default_na=False, na_values=["NA", ""])


def read_timed(path):
    rows = read(path)
    rows["time_hour"] = pandas.to_datetime(rows["time_hour"], utc=True)
    return rows


def samples(data, weather_join):
    """Flights that have departed, with the weather of the hour before and their planes."""
    flights, weather, planes = read_timed(data / "flights.csv"), read_timed(data / "weather.csv"), read(data / "planes.csv")
    weather["time_hour"] += HOUR
    weather = weather[["origin", "time_hour", "temp", "wind_speed", "visib", "precip"]]
    planes = pandas.DataFrame({"tailnum": planes["tailnum"], "seats": planes["seats"], "age": 2013 - planes["year"]})
    rows = flights[flights["dep_delay"].notna()]
    rows = rows.merge(weather, how=weather_join, on=["origin", "time_hour"], validate="many_to_one")
    rows = rows.merge(planes, how="left", on="tailnum", validate="many_to_one")
    return rows.assign(late=rows["dep_delay"] > 15)


def bucket(text, buckets):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h % buckets


def vectors(rows, config):
    """One row of float32 for each sample: a bucket of each category, then each number and whether it is null."""
    parts = []
    for name in config["categories"]:
        found = rows[name].map(lambda text: bucket(text, config["buckets"]), na_action="ignore")
        parts.append(found.to_numpy("float64", na_value=-1)[:, None] == numpy.arange(config["buckets"])[None, :])
    for name, by in sorted(config["numbers"].items()):
        numbers = rows[name].to_numpy("float64", na_value=numpy.nan)
        is_null = numpy.isnan(numbers)
        parts.append(numpy.where(is_null, 0, (numbers - by["mean"]) / by["scale"])[:, None])
        parts.append(is_null[:, None])
    return numpy.hstack([part.astype("float32") for part in parts])


def windows(rows):
    """How many flights there were in each hour at each origin, and the share of late ones."""
    hours = rows.assign(hour=rows["time_hour"].dt.floor("h")).groupby(WINDOW)["late"]
    return pandas.DataFrame({"flights": hours.size(), "delay_rate": hours.sum() / hours.size()}).reset_index()


def read_samples(path):
    """The columns of a file of samples, and their vectors."""
    table = pyarrow.parquet.read_table(path)
    types = {name: table.schema.field(name).type for name in table.column_names}
    *plain, into = types
    if {name: types[name] for name in plain} != TYPES or not pyarrow.types.is_fixed_size_list(types[into]):
        sys.exit(f"{path.name}: its columns are {types}")
    lists = table[into].combine_chunks()
    if lists.null_count or lists.values.null_count:
        sys.exit(f"{path.name}: `{into}` has nulls")
    numbers = lists.flatten().to_numpy().reshape(len(table), types[into].list_size)
    return table.select(plain).to_pandas(), numbers


def read_windows(path):
    rows = read(path)
    if list(rows.columns) != [*WINDOW, "flights", "delay_rate"]:
        sys.exit(f"{path.name}: its columns are {list(rows.columns)}")
    rows["hour"] = pandas.to_datetime(rows["hour"], utc=True)
    return rows, numpy.empty((len(rows), 0))


def in_order(rows, numbers, key, what):
    """Sorted by what no two rows have alike."""
    twice = rows[rows.duplicated(key)]
    if len(twice):
        sys.exit(f"{what}: {len(twice)} rows come twice, the first is\n{twice.iloc[0]}")
    order = rows.sort_values(key).index.to_numpy()
    return rows.loc[order].reset_index(drop=True), numbers[order]


def compare(name, key, found, expected):
    """Ends with the first difference."""
    found, numbers = in_order(*found, key, f"{name} as written")
    expected, expected_numbers = in_order(*expected, key, f"{name} as expected")
    if len(found) != len(expected):
        other = found[key].merge(expected[key], how="outer", indicator=True).query("_merge != 'both'")
        sys.exit(f"{name}: {len(found)} rows and not {len(expected)}; the first that only one side has (`left_only`: as written):\n{other.iloc[0]}")
    if numbers.shape != expected_numbers.shape:
        sys.exit(f"{name}: vectors have {numbers.shape[1]} numbers and not {expected_numbers.shape[1]}")
    for column in expected.columns:
        one, other = found[column], expected[column]
        differ = ~((one == other) | (one.isna() & other.isna()))
        tell(name, key, expected, differ.to_numpy(), lambda at: f"`{column}` is {one[at]!r} and not {other[at]!r}")
    differ = (numbers != expected_numbers).any(axis=1)
    tell(name, key, expected, differ, lambda at: vector_difference(numbers[at], expected_numbers[at]))
    print(f"{name}: {len(found)} rows are as expected")


def vector_difference(found, expected):
    at = numpy.flatnonzero(found != expected)[0]
    return f"number {at} of the vector is {found[at]!r} and not {expected[at]!r}"


def tell(name, key, rows, differ, text):
    if differ.any():
        at = int(numpy.flatnonzero(differ)[0])
        row = ", ".join(f"{column} {rows[column][at]}" for column in key)
        sys.exit(f"{name}: {differ.sum()} of {len(rows)} rows differ; the first is that of {row}: {text(at)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inner", action="store_true", help="flights without weather are left out")
    arguments = parser.parse_args()
    folder, out = arguments.folder, arguments.folder / "out"
    config = tomllib.loads((folder / "job.toml").read_text())["transforms"]["features"]["config"]
    rows = samples(folder / "data", "inner" if arguments.inner else "left")
    features = vectors(rows, config)
    for name, chosen in [("train.parquet", rows["month"] <= 10), ("held-out.parquet", rows["month"] > 10)]:
        expected = rows.loc[chosen, list(TYPES)].reset_index(drop=True), features[chosen.to_numpy()]
        compare(name, FLIGHT, read_samples(out / name), expected)
    hourly = windows(rows)
    compare("hourly.csv", WINDOW, read_windows(out / "hourly.csv"), (hourly, numpy.empty((len(hourly), 0))))


if __name__ == "__main__":
    main()
