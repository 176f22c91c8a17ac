"""Cutting validation and test images off, by a fixed seed.

The images are put in an order that depends only on how many there are. Test images are the last of that order,
validation images are those before them, and training images keep it: so the first few are a fair sample even where
the source is sorted by class. Splits that the source itself has keep their images and their order.
"""

import numpy as np

from nextpixel.data.dataset import DataSet, Parts
from nextpixel.errors import BadInput

ORDER_SEED = 2016
_TENTH = 10  # own data: one image in ten for validation, one in ten for test


def cut(parts: Parts, name: str, *, validation: int | None = None, test: int | None = None) -> DataSet:
    """Complete the three splits of a data set.

    Args:
        parts: what a reader found.
        name: of the data set.
        validation: images to cut from train for validation; a tenth of them (at least one) when None.
        test: the same for test. Neither is cut where the source has such a split.

    Raises:
        BadInput: nothing would be left to train on, or a size is given for a split that the source has.
    """
    images = len(parts.train)
    tenth = max(1, images // _TENTH)
    if validation is not None and parts.validation is not None:
        raise BadInput(
            f"{name} has {len(parts.validation)} validation images of its own; validation={validation} cuts none."
        )
    if validation is not None and (isinstance(validation, bool) or not isinstance(validation, int) or validation < 1):
        raise BadInput(f"validation must be a whole number of images from 1, not {validation!r}.")
    for_test = 0 if parts.test is not None else tenth if test is None else test
    for_validation = 0 if parts.validation is not None else tenth if validation is None else validation
    kept = images - for_validation - for_test
    if kept < 1:
        raise BadInput(
            f"{name} has {images} training images, too few to set {for_validation} aside for validation "
            f"and {for_test} for test."
        )
    if parts.validation is not None and parts.test is not None:
        return DataSet(name, parts.spec, parts.classes, parts.train, parts.validation, parts.test, parts.maps)
    order = np.random.default_rng(ORDER_SEED).permutation(images)
    held_out = kept + for_validation
    return DataSet(
        name,
        parts.spec,
        parts.classes,
        train=parts.train.take(order[:kept]),
        validation=parts.validation or parts.train.take(order[kept:held_out]),
        test=parts.test or parts.train.take(order[held_out:]),
        maps=parts.maps,
    )
