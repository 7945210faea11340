"""The registry: models of all sessions, and one model with what went into it and where it came from."""
