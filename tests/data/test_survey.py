import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.base.errors import DataError
from icnet.base.sample import Sample
from icnet.data.survey import survey


def test_counts_every_pixel_of_every_sample(blocks):
    dataset = blocks(3)
    result = survey(dataset)
    assert result.counts.sum() == 3 * 48 * 64
    assert result.counts.shape == (12,)
    np.testing.assert_array_equal(result.counts[3], sum((dataset[i].labels == 3).sum() for i in range(3)))


@pytest.mark.parametrize(
    ("labels", "line"), [([[3, 12]], "holds the label 12: expected 0 to 11, or 255"), ([[11, 255]], "no pixel has one of")]
)
def test_labels_that_are_no_class_are_found_before_training(labels, line):
    class One(list):
        classes = CAMVID

    sample = Sample("one", np.zeros((1, 2, 3), np.uint8), np.array(labels, np.uint8))
    with pytest.raises(DataError, match=line):
        survey(One([sample]))


def test_the_digest_tells_datasets_apart(blocks):
    assert survey(blocks(3)).digest == survey(blocks(3)).digest
    assert survey(blocks(3)).digest != survey(blocks(4)).digest
