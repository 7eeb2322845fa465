"""A client without authorities: quick to make, and closed to every certificate."""

from __future__ import annotations

import ssl

from plinth.kit.plain_http import no_authorities


def test_no_certificate_is_trusted() -> None:
    context = no_authorities()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}
