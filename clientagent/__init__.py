"""The program that a site runs beside its data. It imports federation.fl and nothing else of the project."""
