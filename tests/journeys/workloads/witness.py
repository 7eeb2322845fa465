"""Write down when it ran, so that a test can compare: a line for each start and end, and a beat.

It ends with 0 after as many seconds as its argument says, or when there is a file `go` (with `go.N`
only attempt N does). Asked to end, it waits for a file `end` if there is a file `slow`. It has a
child in a session of its own.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

attempt = os.environ["PLINTH_ATTEMPT"]


def note(what):
    """Append a line in one write."""
    line = f"{what} {attempt} {time.time():.6f}\n".encode()
    descriptor = os.open("witness", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line)
    os.close(descriptor)


def beat():
    """Say that it still runs."""
    Path(f".beat.{attempt}").write_text(f"{time.time():.6f}")
    os.replace(f".beat.{attempt}", f"beat.{attempt}")


def leave(_number, _frame):
    """Go when it may."""
    note("ending")
    print("ending", flush=True)
    while Path("slow").exists() and not Path("end").exists():
        beat()
        time.sleep(0.02)
    sys.exit(1)


# The kernel frees it when this process ends, however it ends.
alone = os.open("alone", os.O_RDWR | os.O_CREAT, 0o600)
os.set_inheritable(alone, False)
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("overlap")
note("start")
beat()
if os.fork() == 0:
    os.close(alone)
    os.setsid()
    while True:
        time.sleep(1)
signal.signal(signal.SIGTERM, leave)
print("running", flush=True)
ends_at = time.monotonic() + (float(sys.argv[1]) if sys.argv[1:] else 86400.0)
while not (Path("go").exists() or Path(f"go.{attempt}").exists() or time.monotonic() > ends_at):
    beat()
    time.sleep(0.02)
beat()
note("end")
