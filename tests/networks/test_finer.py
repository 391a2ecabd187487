import pytest
import torch
import torch.nn.functional as F

from napari_fluorgen.networks import Architecture, build_network, for_finer_pixels

SMALL = {"first_filters": 8, "blocks": 2, "layers": 2, "growth_rate": 4}


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
@pytest.mark.parametrize("fold", [1, 2])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("outlined", [False, True])
def test_finer_network_equals_the_coarse_one_on_binned_images(kind, fold, factor, outlined):
    torch.manual_seed(0)
    architecture = Architecture(kind=kind, **SMALL, fold=fold, outlined=outlined)
    coarse = build_network(architecture)
    for parameter in coarse.parameters():  # the smooth start must not hide a mixed-up order
        torch.nn.init.normal_(parameter, std=0.2)
    finer, description = for_finer_pixels(coarse.eval(), architecture, factor)
    assert description == architecture.model_copy(update={"fold": fold * factor})
    fine = torch.randn(1, 7, 16 * fold * factor, 8 * fold * factor)
    expected = coarse(F.avg_pool2d(fine, factor))
    found = finer(fine)
    if kind == "dense-unet":
        expected, found = (expected,), (found,)
    for wanted, got in zip(expected, found, strict=True):
        wanted = F.interpolate(wanted, scale_factor=factor, mode="nearest")
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
