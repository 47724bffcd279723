"""The errors that a user can cause, each with the exit code that the command line ends with.

    GenomixError            1   never raised itself
    ├── UsageError          2   the command's words are off
    ├── DataError          65   a file was read and its content is wrong
    ├── InputMissing       66   no such input, or it can't be opened
    ├── OutputError        73   a result can't be written
    ├── Interrupted        75   stopped on request, state saved: run the same command again
    ├── OutOfMemory         1   not even one record fits in memory
    ├── ProcessLost         1   another process of the run ended
    └── SettingsError      78   a setting is unknown or out of range

Library code raises these; only `genomix.cli.main` prints them. `ValueError` and `assert` stay for mistakes of a programmer.
"""


class GenomixError(Exception):
    """An error that is printed as one line, `where: message`, and a hint below it.

    Args:
        message: what was found and what was expected, in one line.
        where: the place: a file, `file, line 12`, or `file, record 'x'`.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        line = f"{self.where}: {self.message}" if self.where else self.message
        return f"{line}\n  hint: {self.hint}" if self.hint else line


class UsageError(GenomixError):
    exit_code = 2


class DataError(GenomixError):
    exit_code = 65


class InputMissing(GenomixError):
    exit_code = 66


class OutputError(GenomixError):
    exit_code = 73


class Interrupted(GenomixError):
    exit_code = 75


class OutOfMemory(GenomixError):
    exit_code = 1


class ProcessLost(GenomixError):
    exit_code = 1


class SettingsError(GenomixError):
    exit_code = 78


_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "ALLOC_FAILED", "could not create a primitive")


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line; its class where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is Python's or PyTorch's way of saying that memory ran out; PyTorch has a class for it on accelerators alone."""
    by_class = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_class or (isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY))
