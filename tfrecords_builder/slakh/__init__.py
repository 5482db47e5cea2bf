"""Slakh2100 as it is distributed: folders, archives, splits and known faults."""
