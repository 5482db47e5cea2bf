"""Which instruments sound in a music recording, ten times a second, and which one is dominant."""

__version__ = "0.1.0"
