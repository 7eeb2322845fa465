"""Try what a job must not be able to do; print a JSON object of what came of each attempt.

The argument is a JSON list of [name, action, target]. "done" means that it worked.
"""

import errno
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path


def read(path):
    """Read a byte."""
    with Path(path).open("rb") as file:
        file.read(1)


def write(path):
    """Open for writing what is there; nothing is written."""
    Path(path).open("r+b").close()


def listing(path):
    """List a folder; the bare way to its own folder, which level 3 shows, does not count."""
    if set(os.listdir(path)) <= set(os.getcwd().split("/")) | {"environments"}:
        raise PermissionError(errno.EACCES, "nothing but the way here")


def unix(path):
    """Connect to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def tcp(port):
    """Connect to a port of this machine."""
    socket.create_connection(("127.0.0.1", port), 5).close()


def signal_to(pid):
    """Ask whether it might send a signal."""
    os.kill(pid, 0)


def call(wanted):
    """Ask the gateway with the run's own key; return the status."""
    method, path = wanted
    request = urllib.request.Request(os.environ["PLINTH_ADDRESS"] + path, method=method)
    request.add_header("authorization", f"Bearer {os.environ['PLINTH_KEY']}")
    request.add_header("content-type", "application/json")
    body = b'{"name": "intruders"}' if method == "POST" else None
    try:
        with urllib.request.urlopen(request, body, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as err:
        return err.code


results = {"key": os.environ["PLINTH_KEY"]}
for name, action, target in json.loads(sys.argv[1]):
    try:
        found = globals()[action](target)
        results[name] = "done" if found is None else found
    except OSError as err:
        results[name] = errno.errorcode.get(err.errno, type(err).__name__)
print("results", json.dumps(results))
