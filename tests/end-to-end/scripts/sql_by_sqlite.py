"""Writes two CSV files of made-up rows, and answers queries over them with SQLite: one JSON object a row, one line `--` behind each query."""

import csv
import json
import random
import sqlite3
import sys

seed, queries = int(sys.argv[1]), sys.argv[2:]
random.seed(seed)
names = ["plain", "with, comma", 'with "quotes"', "two\nlines", "ünïcödé", " spaces "]
trips = [
    (number, random.choice(["EWR", "JFK", "LGA", None]), random.choice(names), random.choice([None, random.randrange(-80, 400) / 4]))
    for number in range(2_000)
]
places = [("EWR", 3, True), ("JFK", 13, False), ("XXX", None, True)]

database = sqlite3.connect(":memory:")
database.row_factory = sqlite3.Row
for table, columns, rows in [
    ("trips", ["number", "origin", "name", "delay"], trips),
    ("places", ["origin", "height", "open"], places),
]:
    database.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
    database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
    with open(f"{table}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        shown = {None: "NA", True: "true", False: "false"}
        writer.writerows([[shown.get(value, value) if value is None or isinstance(value, bool) else value for value in row] for row in rows])

for query in queries:
    for row in database.execute(query):
        print(json.dumps({name: row[name] for name in row.keys() if row[name] is not None}))
    print("--")
