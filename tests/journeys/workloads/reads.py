"""Print the digest of a data version's bytes, and what the run was told of it."""

import hashlib
import os
from pathlib import Path

path = Path(os.environ["PLINTH_DATA_NUMBERS"])
print("bytes", hashlib.sha256(path.read_bytes()).hexdigest())
print("digest", os.environ["PLINTH_DATA_NUMBERS_DIGEST"])
print("version", os.environ["PLINTH_DATA_NUMBERS_VERSION"])
try:
    path.open("ab")
except OSError as err:
    print("writing", type(err).__name__)
