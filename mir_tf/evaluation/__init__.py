"""Evaluation of a model: on a data set or on your own recordings with references."""
