import numpy as np
import pytest
import torch

from napari_fluorgen.networks import Architecture, build_network

SMALL = {"first_filters": 6, "blocks": 2, "layers": 2, "growth_rate": 3, "fold": 2}
MIRRORED_AXES = {1: [()], 2: [(), (3,)], 4: [(), (3,), (2,), (2, 3)]}


def outputs_of(network, planes):
    with torch.no_grad():
        outputs = network(torch.from_numpy(np.ascontiguousarray(planes)))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [output.numpy() for output in outputs]


def twins(kind, views):
    """The same weights for one view and for several."""
    torch.manual_seed(0)
    built = [
        build_network(Architecture(kind=kind, **SMALL, dropout=0, views=n)) for n in (1, views)
    ]
    for parameter in built[0].parameters():  # the smooth start answers alike to all views
        torch.nn.init.normal_(parameter, std=0.2)
    built[1].load_state_dict(built[0].state_dict())
    return built


@pytest.fixture
def planes():
    return np.random.default_rng(1).normal(size=(3, 7, 24, 16)).astype(np.float32)


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
@pytest.mark.parametrize("views", [1, 2, 4])
def test_the_mean_of_mirrored_images_mirrored_back(kind, views, planes):
    plain, several = (network.eval() for network in twins(kind, views))
    found = outputs_of(several, planes)
    seen = [
        [np.flip(output, axes) for output in outputs_of(plain, np.flip(planes, axes))]
        for axes in MIRRORED_AXES[views]
    ]
    for output, expected in zip(found, zip(*seen, strict=True), strict=True):
        np.testing.assert_allclose(output, np.mean(expected, axis=0), rtol=0, atol=1e-5)
        assert views == 1 or np.abs(output - expected[0]).max() > 1e-3


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3)])
def test_a_mirrored_image_gets_mirrored_stains(kind, axes, planes):
    _, several = (network.eval() for network in twins(kind, 4))
    for plain, mirrored in zip(
        outputs_of(several, planes), outputs_of(several, np.flip(planes, axes)), strict=True
    ):
        np.testing.assert_allclose(np.flip(mirrored, axes), plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
def test_training_sees_one_view(kind, planes):
    plain, several = twins(kind, 4)
    for expected, found in zip(outputs_of(plain, planes), outputs_of(several, planes), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
def test_views_are_computed_one_after_the_other(kind, planes):
    _, several = (network.eval() for network in twins(kind, 4))
    shapes = []
    several.encoder.register_forward_hook(lambda _, given, __: shapes.append(given[0].shape))
    outputs_of(several, planes)
    assert len(shapes) == 4
    assert {shape[0] for shape in shapes} == {len(planes)}
