"""What a user says of their own data, where the files leave it open; the words that all readers know."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from nextpixel.data.fitting import Fitting
from nextpixel.errors import BadInput, one_of

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "t10k"),
}
SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}
MOST_IN_MEMORY = 2**30  # bytes of an array, or of the levels of a folder; more stay on disk


@dataclass(frozen=True, kw_only=True)
class Options:
    """How files are to be understood; `open_data` explains each."""

    levels: int | None = None
    ordinal: bool = True
    layout: str | None = None
    splits: Mapping[str, str] | None = None
    first_label: int | None = None
    damaged: str = "refuse"
    size: int | str | None = None
    fit: str = "crop"
    channels: int | None = None
    like: int | None = None
    columns: Mapping[str, str] | None = None
    streaming: bool = False

    def __post_init__(self) -> None:
        if self.layout is not None:
            one_of(self.layout, "layout", ("NHWC", "NCHW"))
        one_of(self.damaged, "damaged", ("refuse", "skip"))
        if self.first_label is not None and type(self.first_label) is not int:
            raise BadInput(f"first_label must be a whole number, not {self.first_label!r}.")
        for split in self.splits or ():
            one_of(split, "A split", tuple(SPLITS))
        for column in self.columns or ():
            one_of(column, "A column", ("image", "label"))
        assert self.fitting  # which refuses what it cannot do
        if self.splits and "train" not in self.splits:
            raise BadInput(f"splits must say which is train, not only {', '.join(self.splits)}.")

    @property
    def fitting(self) -> Fitting:
        """What is done to each picture."""
        return Fitting(self.size, self.fit, self.channels)

    def refuse(self, what: str, *which: str) -> None:
        """Refuse those of these options that the user has set (all but `like`), for data to which they mean nothing."""
        for option in which or [field.name for field in fields(self) if field.name != "like"]:
            if getattr(self, option) != getattr(UNSAID, option):
                raise BadInput(f"{option}={getattr(self, option)} means nothing for {what}.")


UNSAID = Options()
