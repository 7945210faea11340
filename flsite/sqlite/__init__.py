"""SQLite as Django has it, with one writer of this process at a time. See `base`."""
