"""Facts as data: platforms, with their source and date."""
