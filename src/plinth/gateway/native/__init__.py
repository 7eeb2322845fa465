"""Our own filter in Envoy: its source, in Zig, and the library that is built of it."""

from plinth.gateway.native.library_file import library

__all__ = ["library"]
