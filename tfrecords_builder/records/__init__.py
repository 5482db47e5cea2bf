"""From tracks to records: labels, checks, shards and their metadata."""
