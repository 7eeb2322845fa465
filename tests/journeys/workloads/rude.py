"""Do what a job should not: print too much, leave daemons, eat memory, write many files."""

import os
import sys
import time
from pathlib import Path

MANY_FILES = 10_000
LINE = "x" * 99 + "\n"


def shout(megabytes: str) -> None:
    block = LINE * 10_000
    for _ in range(int(megabytes)):
        sys.stdout.write(block)
    print("the last line")


def leave_daemons() -> None:
    for number in range(3):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writer, f"{os.getpid()}".encode())
                while True:
                    time.sleep(1)
            os._exit(0)
        print("daemon", number, os.read(reader, 20).decode(), flush=True)


def eat_memory() -> None:
    kept = []
    while True:
        kept.append(bytearray(16 * 2**20))
        print(len(kept) * 16, "MiB", flush=True)


def write_files() -> None:
    for number in range(MANY_FILES):
        folder = Path(f"out/{number % 100}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text("x")
    print(sum(len(files) for _, _, files in os.walk("out")), "files")


globals()[sys.argv[1]](*sys.argv[2:])
