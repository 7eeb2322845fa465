"""Write New York's flights of 2013 as one Parquet file for each month, ready for the model.

It needs the joined file of `examples/flights/prepare.py` (`make demo` leaves one) and duckdb, which
Plinth brings; the columns are those of `examples/flights/features.py`, with an `id` beside them:

    python make_months.py flights.parquet months
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb

MONTHS = """
copy (
    select
        row_number() over () - 1 as id,
        carrier, origin, dest,
        (isodow(make_date(year, month, day)) - 1)::double as weekday,
        (sched_dep_time // 100 * 60 + sched_dep_time % 100)::double as departure_minute,
        ((sched_arr_time // 100 * 60 + sched_arr_time % 100
            - (sched_dep_time // 100 * 60 + sched_dep_time % 100) + 1440) % 1440)::double
            as scheduled_minutes,
        distance, temp, dewp, humid, wind_dir, wind_speed, precip, pressure, visib
    from read_parquet('{source}')
    where month = {month}
) to '{target}' (format parquet, compression zstd)
"""


def main() -> int:
    """Write the twelve files; say what they hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flights", type=Path, help="what examples/flights/prepare.py wrote")
    parser.add_argument("folder", type=Path, help="where the files go")
    chosen = parser.parse_args()
    if not chosen.flights.is_file():
        print(f"error: `{chosen.flights}` is not a file; `make demo` makes one", file=sys.stderr)
        return 1
    chosen.folder.mkdir(parents=True, exist_ok=True)
    # One thread: two runs with the same input write the same bytes.
    connection = duckdb.connect(config={"threads": "1"})
    rows = 0
    for month in range(1, 13):
        target = chosen.folder / f"2013-{month:02d}.parquet"
        source = str(chosen.flights).replace("'", "''")
        connection.execute(
            MONTHS.format(source=source, month=month, target=str(target).replace("'", "''"))
        )
        rows += connection.read_parquet(str(target)).aggregate("count(*)").fetchall()[0][0]
    print(f"{chosen.folder}: 12 files, {rows:,} flights")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
