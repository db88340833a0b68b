"""What can go wrong in words a user can act on.

    TorchioSegError            anything below; the command line prints its message, nothing else
    ├── UsageError             what was typed or configured is wrong, a path where nothing is too (exit code 2)
    │   └── ConfigError        a setting is unknown, of the wrong type or out of range
    ├── DataError              what is there cannot be used: a data set, a file or a case (exit code 1)
    │   └── VolumeError        one volume cannot be trusted, or cannot be written
    └── TrainingError          training cannot go on (exit code 1)
        └── PeerError          another process of the same work failed, and has said so: no message

A message says what was given, what is allowed and what to do now. A word out of several is answered in one way:
`--blending: got 'gausian', did you mean 'gaussian'? (allowed: crop, average, hann, gaussian)` (components.suggestion).
"""


class TorchioSegError(Exception):
    """Base of every error that is a sentence to the user rather than a defect of ours."""

    exit_code = 1


class UsageError(TorchioSegError):
    """The user's words cannot be followed."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(TorchioSegError):
    """A data set or one of its cases is at fault."""


class VolumeError(DataError):
    """One volume cannot be trusted, or cannot be written."""


class TrainingError(TorchioSegError):
    """Training cannot go on."""


class PeerError(TrainingError):
    """Another process of the same work failed, and says why."""
