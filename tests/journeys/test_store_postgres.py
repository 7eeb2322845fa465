"""The store's suite, and the reconcilers over it, on a PostgreSQL server instead of SQLite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plinth.store.session import Database
from tests.control import test_lineage as test_model_lineage
from tests.control import test_retention, test_rotation, test_trace
from tests.control import test_secrets as test_secret_service
from tests.control.endpoints import test_reconciler as test_endpoint_reconciler
from tests.control.endpoints import test_service as test_endpoint_service
from tests.control.openai_batches import test_reconciler as test_batch_reconciler
from tests.control.openai_batches import test_service as test_batch_service
from tests.control.plane import Plane, make_plane
from tests.control.runs import test_reconciler as test_run_reconciler
from tests.control.runs import test_service as test_run_service
from tests.journeys.postgres_stand import Databases, SteppedDatabase, suite
from tests.store import (
    test_audit,
    test_data_versions,
    test_duties,
    test_endpoints,
    test_events,
    test_identities,
    test_leases,
    test_lineage,
    test_openai_batches,
    test_openai_files,
    test_prices,
    test_relocation,
    test_runs,
    test_schema,
    test_secrets,
    test_session,
    test_tables,
)

# Fixtures that tests of this suite bring along.
service = test_identities.service
chat = test_batch_reconciler.chat


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    opened = SteppedDatabase(databases.emptied())
    yield opened
    opened.close()


@pytest.fixture
def plane(databases: Databases) -> Iterator[Plane]:
    url = databases.emptied()
    with make_plane(lambda _path: SteppedDatabase(url)) as made:
        yield made


TestAudit = suite(test_audit, "database")
TestDataVersions = suite(test_data_versions, "database")
TestDuties = suite(test_duties, "database")
TestEndpoints = suite(test_endpoints, "database")
TestEvents = suite(test_events, "database")
TestIdentities = suite(test_identities, "database")
TestLeases = suite(test_leases, "database")
TestLineage = suite(test_lineage, "database")
TestOpenaiBatches = suite(test_openai_batches, "database")
TestOpenaiFiles = suite(test_openai_files, "database")
TestPrices = suite(test_prices, "database")
TestRelocation = suite(test_relocation, "database")
TestRuns = suite(test_runs, "database")
TestSchema = suite(test_schema, "database")
TestSecrets = suite(test_secrets, "database")
TestSession = suite(test_session, "database")
TestTables = suite(test_tables, "database")
TestBatchReconciler = suite(test_batch_reconciler, "chat")
TestBatchService = suite(test_batch_service, "plane")
TestEndpointReconciler = suite(test_endpoint_reconciler, "plane")
TestEndpointService = suite(test_endpoint_service, "plane")
TestModelLineage = suite(test_model_lineage, "plane")
TestRetention = suite(test_retention, "plane")
TestRotation = suite(test_rotation, "plane")
TestRunReconciler = suite(test_run_reconciler, "plane")
TestRunService = suite(test_run_service, "plane")
TestSecretService = suite(test_secret_service, "plane")
TestTrace = suite(test_trace, "plane")
