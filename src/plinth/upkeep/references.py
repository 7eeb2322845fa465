"""Which files of a home the rows of its store need."""

from __future__ import annotations

import json
from pathlib import Path

from plinth.access.master_key import key_file
from plinth.control.openai_batches.preparation import file_key
from plinth.control.preparation import code_key, diff_key
from plinth.kit.home import Home
from plinth.upkeep import databases
from plinth.upkeep.contents import name_in


def needed_files(home: Home, store: Path) -> list[str]:
    """Return the names, below the home, of what the rows of `store` name: data, code, diffs, files.

    And of the master keys without which its secrets do not open.

    `store`: an SQLite file, the home's own or a copy of it. Files that lie elsewhere are left out.
    """
    code = databases.ask(
        store, "select distinct team, code_digest from run where code_digest is not null"
    )
    keys = {code_key(str(team), str(digest)) for team, digest in code}
    origins = databases.ask(store, "select distinct team, code from run where code is not null")
    for team, origin in origins:
        # A store of an earlier schema says nothing of where code came from; JSON's null is text.
        digest = (json.loads(str(origin)) or {}).get("diff_digest")
        if digest is not None:
            keys.add(diff_key(str(team), str(digest)))
    found = {name_in(home, home.storage / key) for key in keys}
    roots = storage_roots(home)
    for (uri,) in databases.ask(store, "select uri from data_version"):
        root = next((each for each in roots if str(uri).startswith(f"{each}/")), None)
        if root is not None:
            found.add(name_in(home, home.storage / str(uri).removeprefix(f"{root}/")))
    for team, file_id in databases.ask(store, "select team, id from openai_file"):
        found.add(name_in(home, home.storage / file_key(str(team), str(file_id))))
    for (master_key,) in databases.ask(
        store, "select distinct master_key from secret where master_key is not null"
    ):
        found.add(name_in(home, key_file(home.secrets, str(master_key))))
    return sorted(found)


def storage_roots(home: Home) -> tuple[str, ...]:
    """Return how the addresses of files in the home's storage begin: as written, and escaped."""
    return tuple(dict.fromkeys((f"file://{home.storage}", home.storage.as_uri())))
