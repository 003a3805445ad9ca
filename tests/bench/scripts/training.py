"""The stream of `examples/flights-tensorflow` into a loop that only counts, with pandas, numpy and a PyTorch DataLoader, for the bench.

Usage: training.py WAY DATA JOB

Joins flights, weather and aeroplanes of the folder DATA as the example's `samples.sql` does, makes of each sample the vector that its operator
makes, by the configuration in JOB, and has a DataLoader give batches of 256 of vectors, labels and ids. WAY is one tuning: `default` (an element a sample), `batches` (an
element a batch), `pyarrow-batches` (and pyarrow reads the files). Prints how many samples came and how many millions a second, as JSON; imports
are not counted.
"""

import json
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

FLIGHTS = ["year", "month", "day", "hour", "minute", "time_hour", "flight", "origin", "dest", "carrier", "tailnum", "distance", "dep_delay"]
WEATHER = ["origin", "time_hour", "humid", "wind_speed", "visib", "precip", "pressure"]
PLANES = ["tailnum", "seats", "year"]
CARRIERS = "9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV".split()
BATCH = 256


def read(folder, name, columns, way):
    engine = "pyarrow" if way == "pyarrow-batches" else "c"
    rows = pd.read_csv(folder / name, usecols=columns, engine=engine)
    if "time_hour" in columns:
        rows["time_hour"] = pd.to_datetime(rows["time_hour"], utc=True)
    return rows


def samples(folder, way):
    flights = read(folder, "flights.csv", FLIGHTS, way)
    flights = flights[flights["dep_delay"].notna() & (flights["month"] <= 10)].sort_values("time_hour", kind="stable")
    weather, planes = read(folder, "weather.csv", WEATHER, way), read(folder, "planes.csv", PLANES, way)
    weather["time_hour"] += pd.Timedelta(hours=1)
    rows = flights.merge(weather, how="left", on=["origin", "time_hour"])
    rows = rows.merge(planes, how="left", on="tailnum", suffixes=("", "_built"))
    carrier = rows["carrier"].map({name: number for number, name in enumerate(CARRIERS, 1)})
    rows["id"] = (((rows["month"] * 100 + rows["day"]) * 100 + rows["hour"]) * 100 + carrier) * 10000 + rows["flight"]
    rows["late"] = (rows["dep_delay"] > 15).astype("float32")
    rows["weekday"] = (pd.to_datetime(rows[["year", "month", "day"]]).dt.day_of_week + 1) % 7
    rows["rain"] = np.log(1 + 100 * rows["precip"])
    rows["age"] = 2013 - rows["year_built"]
    return rows


def bucket(text, buckets):
    """FNV-1a with 64 bits, as in the operator."""
    hashed = 0xCBF29CE484222325
    for byte in str(text).encode():
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    return hashed % buckets


def vectors(rows, config):
    """Float32 (rows, features): for each category a 1 at its bucket, for each number its value and whether it is null."""
    buckets, names = config["buckets"], sorted(config["numbers"])
    first = len(config["categories"]) * buckets
    made = np.zeros((len(rows), first + 2 * len(names)), "float32")
    for at, name in enumerate(config["categories"]):
        places, texts = pd.factorize(rows[name])
        ones = np.array([bucket(text, buckets) for text in texts])[places]
        made[np.arange(len(rows)), at * buckets + ones] = 1
    for at, name in enumerate(names):
        scale = config["numbers"][name]
        scaled = (rows[name].to_numpy("float64", na_value=np.nan) - scale["mean"]) / scale["scale"]
        made[:, first + 2 * at] = np.nan_to_num(scaled)
        made[:, first + 2 * at + 1] = np.isnan(scaled)
    return made


def loader(features, rows, way):
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(features), *(torch.tensor(rows[name].to_numpy()) for name in ["late", "id"]))
    if way == "default":
        return torch.utils.data.DataLoader(dataset, batch_size=BATCH)
    order = torch.utils.data.SequentialSampler(dataset)
    batches = torch.utils.data.BatchSampler(order, BATCH, drop_last=False)
    return torch.utils.data.DataLoader(dataset, sampler=batches, batch_size=None)


def main():
    _, way, folder, job = sys.argv
    config = tomllib.loads(Path(job).read_text())["transforms"]["features"]["config"]
    begun = time.perf_counter()
    rows = samples(Path(folder), way)
    batches = loader(vectors(rows, config), rows, way)
    count = sum(len(late) for _features, late, _id in batches)
    print(json.dumps({"rows": count, "rate": count / (time.perf_counter() - begun) / 1e6}))


main()
