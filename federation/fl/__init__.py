"""Pure federated learning: no Django, no clock, no network."""
