"""What a user says of their own data, where the files leave it open."""

from collections.abc import Mapping
from dataclasses import dataclass

from nextpixel.errors import BadInput, one_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """How files are to be understood; `open_data` explains each.

    Raises:
        BadInput: a value that is none of the choices.
    """

    levels: int | None = None
    ordinal: bool = True
    layout: str | None = None
    splits: Mapping[str, str] | None = None
    first_label: int | None = None
    damaged: str = "refuse"

    def __post_init__(self) -> None:
        if self.layout is not None:
            one_of(self.layout, "layout", ("NHWC", "NCHW"))
        one_of(self.damaged, "damaged", ("refuse", "skip"))

    def refuse(self, name: str, *which: str, why: str) -> None:
        """Refuse those of these options that the user has set, for data to which they mean nothing."""
        for option in which:
            if getattr(self, option) != getattr(UNSAID, option):
                raise BadInput(f"{option}={getattr(self, option)} {why}; {name} has its own.")


UNSAID = Options()
