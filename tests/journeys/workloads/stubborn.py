"""Ignore SIGTERM, in a child and a grandchild of another session too."""

import os
import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
pids = [os.getpid()]
for _ in range(2):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.write(writer, str(os.getpid()).encode())
        while True:
            time.sleep(1)
    pids.append(int(os.read(reader, 20)))
print("pids", *pids, flush=True)
while True:
    time.sleep(1)
