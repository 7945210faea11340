"""Every write to the database, one module a noun. The caller parses and answers; the service decides."""
