"""Comparisons of models and searches for hyperparameters."""
