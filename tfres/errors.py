"""The errors a user can cause; commands end with exit code 2 for wrong usage and 1 for a failure while running."""


class UsageError(ValueError):
    """An option, a recipe or a file that cannot be used as it was asked for: wrong usage."""


class RecipeError(UsageError):
    """A recipe or an option that cannot be honoured."""


class RunError(UsageError):
    """A folder that is no run, or a run with a damaged file."""


class ExportError(UsageError):
    """A folder or file that is no export, or an export with a damaged file."""


class CheckpointError(ValueError):
    """A checkpoint that does not fit, cannot be read or cannot be written."""


class DataError(ValueError):
    """Pictures, labels or records that cannot be used; the message names them."""


class SourceError(DataError, UsageError):
    """The named source of data is not one: wrong usage."""


class WorkerLost(RuntimeError):
    """A worker of a run on several machines stopped answering."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line of at most 200 characters; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
