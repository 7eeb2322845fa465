"""Say who it is, with the time of the first line; leave a line behind for each start."""

import os
import sys
import time
from pathlib import Path

print(f"first line at {time.time():.6f}", flush=True)
with Path("starts").open("a") as file:
    file.write(f"attempt {os.environ['PLINTH_ATTEMPT']}\n")
print(f"hello from {os.environ['PLINTH_RUN_ID']} of team {os.environ['PLINTH_TEAM']}")
print("and to standard error", file=sys.stderr)
