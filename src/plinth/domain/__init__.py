"""The vocabulary: frozen types and the rules on them. No I/O, no web, no database."""
