import pytest


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "least"), [("dsb", (0.88, 0.72)), ("mitocheck", (1, 1)), ("watershed", (0.85, 0.85))]
)
def test_nuclei_of_real_fluorescence_match_drawn_labels(benchmark_module, shared, name, least):
    module = benchmark_module("true_nuclei")
    found = module.scores(shared / "data", module.IMAGES[name])
    assert all(score.f1 >= wanted for score, wanted in zip(found, least, strict=False))
