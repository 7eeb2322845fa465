"""Print until the disk takes no more, then wait for a file `go`, and end with 0.

With an argument it waits for the file of that name before it begins.
"""

import os
import sys
import time
from pathlib import Path

while sys.argv[1:] and not Path(sys.argv[1]).exists():
    time.sleep(0.05)
try:
    while True:
        os.write(1, b"x" * 4095 + b"\n")
except OSError:
    while not Path("go").exists():
        time.sleep(0.05)
