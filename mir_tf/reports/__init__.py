"""HTML reports on a model or a data set."""
