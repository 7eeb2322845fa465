from datetime import UTC, datetime

from plinth.domain.usage import Meter, UsageRecord


def test_a_record_survives_json():
    record = UsageRecord(
        source="gateway",
        position="1:0:120",
        meter=Meter.REQUESTS,
        quantity=1,
        team="ops",
        workload="flights-delay",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        ended_at=datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
    )
    assert UsageRecord.model_validate_json(record.model_dump_json()) == record


def test_a_meter_names_its_unit():
    assert {meter.value for meter in Meter} >= {"training_seconds", "serving_seconds", "requests"}
