"""What is done with probabilities once a model has predicted them: predictions, formats, folders of recordings."""
