import numpy as np
import pytest

from icnet.base.errors import DataError
from icnet.data.splits import open_split


def test_street_splits_differ_and_are_kept():
    train, val = open_split("street", "train"), open_split("street", "val")
    assert (len(train), len(val)) == (128, 101)
    assert train[3].image.shape == (360, 480, 3)
    assert train[3] is train[3]
    assert not np.array_equal(train[3].labels, val[3].labels)


def test_unknown_split_and_folder(tmp_path):
    with pytest.raises(DataError, match="no split 'dev'"):
        open_split("street", "dev")
    with pytest.raises(DataError, match=r"no val\.txt"):
        open_split(str(tmp_path), "val")
