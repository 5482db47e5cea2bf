"""Errors that a user can fix. The commands print them without a traceback; each message names the remedy."""


class MirTfError(Exception):
    """Base class of the project's errors. Exit status 1."""


class MirTfWarning(UserWarning):
    """Results may be wrong without an error, for a reason that a user can remove."""


class ConfigError(MirTfError, ValueError):
    """A setting is unknown, has the wrong type, is out of range, or contradicts another one. Exit status 2."""


class InstallationError(MirTfError):
    """A package is missing, or packages do not fit together."""


class FileSystemError(MirTfError):
    """Support for a remote file system is not installed."""


class InUseError(MirTfError):
    """Another process is writing the same folder or file."""


class AudioError(MirTfError):
    """Audio cannot be decoded, or is empty or invalid."""


class DataError(MirTfError):
    """A data set is missing, incomplete or damaged, or does not match the model."""


class TrainingError(MirTfError):
    """Training cannot start or continue."""


class BundleError(MirTfError):
    """A trained model is missing or damaged, or does not support the requested use."""


class ExportError(MirTfError):
    """A model cannot be exported in the requested format, or an exported file differs from the model."""
