"""Usage: read once from its sources, kept in one ledger."""
