"""The HTTP contract, version 1 (docs/protocol.md)."""
