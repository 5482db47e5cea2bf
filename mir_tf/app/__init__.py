"""The app: a local web page that detects instruments in recordings, for people who do not program."""
