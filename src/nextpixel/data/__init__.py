"""Images as integers: readers, splits, transforms, and the table of data sets.

data = open_data("mnist-binary")
images, labels = data.train.batch([0, 1, 2], noise)
"""

from nextpixel.data.catalogue import CATALOGUE, CatalogueRow
from nextpixel.data.dataset import DataSet, MapKind, Split, describe, learnt_from
from nextpixel.data.opening import open_data

__all__ = ["CATALOGUE", "CatalogueRow", "DataSet", "MapKind", "Split", "describe", "learnt_from", "open_data"]
