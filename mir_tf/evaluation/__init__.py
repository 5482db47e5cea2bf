"""Evaluation of a model on a data set, or on recordings with references."""
