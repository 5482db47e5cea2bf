"""Experiments on many runs: comparisons of models and hyperparameter searches."""
