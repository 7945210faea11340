"""Several sessions beside each other."""
