"""Kinds of files and requests that ``tools/fuzz.py`` tries on the project's readers, one module for each."""
