"""From audio to training examples: the front end, the records and their manifest, the input pipeline."""
