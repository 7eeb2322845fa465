"""Whose certificates Envoy believes: the authorities that the machine's owner believes."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import certifi

# Where systems keep them in one file: Debian and Ubuntu, Fedora and Red Hat, older Red Hat, SUSE,
# Alpine and macOS.
PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
VARIABLE = "SSL_CERT_FILE"


@cache
def authorities() -> str:
    """Return the file of the trusted authorities: what SSL_CERT_FILE says, else the machine's.

    A machine without any has those that come with `certifi`.
    """
    chosen = os.environ.get(VARIABLE)
    places = (*([chosen] if chosen else []), *PLACES)
    return next((each for each in places if Path(each).is_file()), certifi.where())
