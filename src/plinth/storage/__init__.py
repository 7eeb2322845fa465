"""Files and artifacts by URI, through fsspec."""
