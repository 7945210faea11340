"""What schemathesis is told by fuzz.py: how the parts of an upload are written."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
