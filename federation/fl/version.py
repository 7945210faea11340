"""The version that server and agents tell each other. A different first number: they do not work together."""

__version__ = "0.2.0"
