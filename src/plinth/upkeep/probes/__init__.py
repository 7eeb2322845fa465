"""The probes of `plinth doctor`: each tries one promise and says what it found."""
