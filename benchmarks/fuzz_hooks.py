"""Tells schemathesis how to write the parts of an upload, for fuzz.py."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
