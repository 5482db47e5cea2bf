"""The app: a page on this machine that hears recordings, for people who do not write programs."""
