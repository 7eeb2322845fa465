"""Copy every row of one store into another of the same schema, whatever databases they are in.

Called by backup, which keeps a PostgreSQL store as an SQLite file. Pure but for the two
connections; the caller's transaction on the source decides what is seen.
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, insert, inspect, select

from plinth.store.tables import metadata

_ROWS_AT_ONCE = 1000


def copy_tables(source: Connection, target: Connection) -> dict[str, int]:
    """Copy all rows and return how many, by table; the target's tables must be there and empty.

    A store of an earlier schema is copied as it is: tables and columns that it lacks are left out.
    """
    known = set(inspect(source).get_table_names())
    return {
        table.name: _copy_table(source, target, table)
        # A row comes after those that it refers to.
        for table in metadata.sorted_tables
        if table.name in known
    }


def _copy_table(source: Connection, target: Connection, table: Table) -> int:
    present = {column["name"] for column in inspect(source).get_columns(table.name)}
    columns = [column for column in table.columns if column.name in present]
    order = list(table.primary_key.columns)
    rows = source.execution_options(yield_per=_ROWS_AT_ONCE).execute(
        select(*columns).order_by(*order)
    )
    count = 0
    for part in rows.mappings().partitions(_ROWS_AT_ONCE):
        target.execute(insert(table), [dict(row) for row in part])
        count += len(part)
    return count
