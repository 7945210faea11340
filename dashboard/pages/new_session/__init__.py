"""The form for a new session: presets, checks as one types, who would take part, and what it would cost."""
