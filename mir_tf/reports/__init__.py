"""Pages in HTML about a model or a data set."""
