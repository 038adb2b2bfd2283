"""The errors that a person can mend: each message names the file or key, the value, and what would be right."""


class SerError(Exception):
    """Base of every error that the command line prints as one sentence, without a traceback."""


class SettingsError(SerError, ValueError):
    """A setting that is unknown, of the wrong type, or out of its range."""


class AudioError(SerError):
    """A recording that cannot be read, or that holds no usable sound."""


class CorpusError(SerError):
    """A corpus that is missing, empty, or not laid out and named as RAVDESS is."""


class DownloadError(SerError):
    """A download or an archive that failed a check of size, checksum or content."""


class CheckpointError(SerError):
    """A checkpoint that is missing, damaged, or not written by this project."""
