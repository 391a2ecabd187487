import pytest
import torch

from napari_fluorgen.networks import Architecture, build_network
from napari_fluorgen.training.planes import reverse_planes


@pytest.mark.parametrize("kind", ["nuclei", "dense-unet"])
@pytest.mark.parametrize("fold", [1, 2])
def test_reversed_network_gives_for_a_stack_what_the_other_gives_for_it_upside_down(kind, fold):
    torch.manual_seed(1)
    settings = {"first_filters": 4, "blocks": 2, "layers": 1, "growth_rate": 2, "dropout": 0}
    network = build_network(Architecture(kind=kind, fold=fold, **settings)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    turned = reverse_planes(network)
    stack = torch.rand(1, 7, 32, 32)
    with torch.no_grad():
        expected, found = network(stack.flip(1)), turned(stack)
    for one, other in zip(
        expected if kind == "nuclei" else [expected],
        found if kind == "nuclei" else [found],
        strict=True,
    ):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
