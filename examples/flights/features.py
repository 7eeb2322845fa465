"""What the model sees of a flight: only what is known before its scheduled departure.

Left out on purpose: dep_time, dep_delay, arr_time and air_time (known too late: with the
departure's delay the answer would almost be given away); tailnum and flight (thousands of rare
values); month (the test months never occur in training). The weather is the one observed in the
hour of the scheduled departure; a planner days ahead would have to use a forecast, and would do
worse.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TEXT = ["carrier", "origin", "dest"]
WEATHER = [
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib",
]  # fmt: skip
NUMBERS = ["weekday", "departure_minute", "scheduled_minutes", "distance", *WEATHER]
COLUMNS = TEXT + NUMBERS
LATE_MINUTES = 15
FIRST_TEST_MONTH = 11

_READ = [
    "year", "month", "day", "sched_dep_time", "sched_arr_time", "arr_delay",
    "carrier", "origin", "dest", "distance", *WEATHER,
]  # fmt: skip


def read_flights(path: Path) -> pd.DataFrame:
    """Return the flights in file order (by time): COLUMNS, `month`, and `arr_delay` (minutes).

    `arr_delay` is missing for cancelled and diverted flights. Numbers are float64, with NaN where
    the weather station reported nothing.
    """
    raw = pd.read_parquet(path, columns=_READ)
    flights = raw[[*TEXT, "distance", *WEATHER]].copy()
    flights["weekday"] = pd.to_datetime(raw[["year", "month", "day"]]).dt.dayofweek
    departure = _minutes(raw["sched_dep_time"])
    flights["departure_minute"] = departure
    # Local times in two time zones: the difference is not the flight's length, but goes with it.
    flights["scheduled_minutes"] = (_minutes(raw["sched_arr_time"]) - departure) % (24 * 60)
    flights[NUMBERS] = flights[NUMBERS].astype("float64")
    flights["month"] = raw["month"]
    flights["arr_delay"] = raw["arr_delay"]
    return flights


def _minutes(clock: pd.Series) -> pd.Series:
    return clock // 100 * 60 + clock % 100
