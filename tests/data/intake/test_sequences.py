from icnet.data.intake.sequences import draw_validation, sequences


def test_sequences_are_folders_or_the_beginnings_of_names():
    assert sequences(["a/1", "a/2", "b/1"]) == {"a": ["a/1", "a/2"], "b": ["b/1"]}
    names = ["x_10", "x_9", "y-001", "0001TP_8", "still"]
    assert sequences(names) == {"0001TP_": ["0001TP_8"], "still": ["still"], "x_": ["x_9", "x_10"], "y-": ["y-001"]}


def test_whole_sequences_are_drawn_and_the_same_seed_draws_the_same():
    names = [f"drive{drive}/{frame:03d}" for drive in range(10) for frame in range(10 + drive)]
    drawn = draw_validation(names, 0.2, seed=1)
    assert 0.1 * len(names) <= len(drawn.names) <= 0.2 * len(names)
    assert drawn.names == {name for name in names if name.split("/")[0] in drawn.sequences}
    assert not drawn.cut
    assert draw_validation(names, 0.2, seed=1) == drawn
    assert len({draw_validation(names, 0.2, seed=seed).sequences for seed in range(8)}) > 3


def test_a_single_sequence_is_cut_once():
    drawn = draw_validation([f"frame{number}" for number in range(20)], 0.25, seed=0)
    assert drawn.cut
    assert drawn.names == {f"frame{number}" for number in range(15, 20)}
    assert draw_validation(["a1", "b1"], 0.01, seed=0).names in ({"a1"}, {"b1"})
