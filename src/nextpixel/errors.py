"""The one exception for input that a user can mend."""


class BadInput(ValueError):
    """What the user gave cannot be used; the message is one sentence with the bad value in it.

    The command line prints the sentence and exits with status 2; any other exception is a defect of ours.
    """
