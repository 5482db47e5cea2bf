"""The errors that a person can mend. Command lines print them without a traceback; each says what to do."""


class MirTfError(Exception):
    """Base of the project's errors. Exit status 1."""


class ConfigError(MirTfError, ValueError):
    """A setting is unknown, of the wrong type, out of its range, or contradicts another. Exit status 2."""


class FileSystemError(MirTfError):
    """A remote file system is not installed."""


class AudioError(MirTfError):
    """An audio file cannot be decoded, or holds nothing that can be used."""


class DataError(MirTfError):
    """A data set is missing, unfinished, damaged, or was made for something else."""


class TrainingError(MirTfError):
    """Training cannot start or go on."""


class BundleError(MirTfError):
    """A model bundle is missing, damaged, or does not fit."""


class ExportError(MirTfError):
    """A model cannot be exported in the asked form, or an exported file is not equal to the model it came from."""
