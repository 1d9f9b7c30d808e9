import pytest

from icnet.training.patience import PLATEAU, Patience


def told(scores: list[float], limit: int | None = None) -> tuple[list[str], Patience]:
    words: list[str] = []
    patience, best = Patience(limit, words.append), -1.0
    for score in scores:
        better = score > best
        best = max(best, score)
        patience.saw(score, best=best, better=better)
    return words, patience


def test_it_ends_after_so_many_in_a_row():
    words, patience = told([0.1, 0.3, 0.2, 0.3, 0.31, 0.2], limit=2)
    assert not patience.exhausted  # 0.31 began the count anew, but two before it had been enough
    assert len(words) == 1
    assert "stopping: 2 validations in a row were no better than 30.00 % (now 30.00 %)" in words[0]
    assert told([0.1, 0.3, 0.2, 0.3], limit=2)[1].exhausted


@pytest.mark.parametrize("more", [0, 5])
def test_a_plateau_is_told_once_and_stops_nothing(more):
    words, patience = told([0.5] + [0.4] * (PLATEAU + more))
    assert not patience.exhausted
    assert len(words) == 1
    assert "50.00 %" in words[0]
    assert told([0.5] + [0.4] * (PLATEAU - 1))[0] == []
