"""Every request passes here before the application: who calls, how often, how much. Answers get their headers here."""
