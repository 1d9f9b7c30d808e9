"""What a user can cause, each with one line that says what happened and what to do."""


class IcnetError(Exception):
    """Base of every error that a user can cause; its text is one line, shown without a traceback."""


class UsageError(IcnetError):
    """An argument or option is wrong, or there is nothing to do."""


class InputError(IcnetError):
    """An image, a video or a camera cannot be read."""


class OutputError(IcnetError):
    """A result cannot be written.

    Attributes:
        lasting: other results could not be written either, because the disk is full, broken or read-only.
    """

    def __init__(self, text: str, *, lasting: bool = True) -> None:
        super().__init__(text)
        self.lasting = lasting


class DataError(IcnetError):
    """A dataset folder is incomplete or inconsistent."""


class TrainingError(IcnetError):
    """A training run cannot go on."""


class ModelError(IcnetError):
    """A model name is unknown, or a weight file is missing, damaged or of another network."""
