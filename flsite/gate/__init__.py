"""What every request passes before the application: who calls, how often, how much, and what each answer carries."""
