"""The one exception that a user is meant to read."""


class FokkerError(Exception):
    """Bad input or a failed run, told in one sentence.

    The message names the file or option, the value found and the remedy. The command line prints
    it without a traceback and exits with code 2.
    """
