import numpy as np

from icnet.data.survey import survey


def test_counts_every_pixel_of_every_sample(blocks):
    dataset = blocks(3)
    result = survey(dataset)
    assert result.counts.sum() == 3 * 48 * 64
    assert result.counts.shape == (12,)
    np.testing.assert_array_equal(result.counts[3], sum((dataset[i].labels == 3).sum() for i in range(3)))


def test_the_digest_tells_datasets_apart(blocks):
    assert survey(blocks(3)).digest == survey(blocks(3)).digest
    assert survey(blocks(3)).digest != survey(blocks(4)).digest
