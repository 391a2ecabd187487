from functools import partial

import pytest
import torch
from torch import nn

from napari_fluorgen.networks import (
    Architecture,
    DenseUNet,
    NucleiNet,
    NucleiOutput,
    PatchDiscriminator,
    build_network,
    icnr_,
)
from napari_fluorgen.networks.dense_unet import stain_from

SMALL = {"first_filters": 8, "blocks": 3, "layers": 3, "growth_rate": 4}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_are_the_published_ones():
    assert parameters(DenseUNet()) == 1_230_913
    assert parameters(NucleiNet()) == 1_602_166
    # The paper's network, which has a larger last dense block.
    larger = NucleiNet(blocks=5, first_filters=48, refine_layers=4, refine_growth_rate=12)
    assert parameters(larger) == 2_342_359


@pytest.mark.parametrize("blocks", [1, 3, 4])
@pytest.mark.parametrize("size", [(32, 48), (64, 16)])
def test_dense_unet_keeps_the_size_and_stays_in_range(blocks, size):
    network = DenseUNet(**{**SMALL, "blocks": blocks}).eval()
    y = network(torch.randn(2, 7, *size) * 10)
    assert y.shape == (2, 1, *size)
    assert y.dtype == torch.float32
    assert 0 <= y.min() <= y.max() <= 1


def test_nuclei_net_outputs():
    network = NucleiNet(**SMALL).eval()
    x = torch.randn(2, 7, 32, 48)
    output = network(x)
    assert isinstance(output, NucleiOutput)
    assert output.stain.shape == (2, 1, 32, 48)
    assert output.logits.shape == (2, 2, 32, 48)
    assert 0 <= output.stain.min() <= output.stain.max() <= 1
    stain, logits, sides = network.forward_train(x)
    torch.testing.assert_close(stain, output.stain)
    torch.testing.assert_close(logits, output.logits)
    assert [tuple(s.shape) for s in sides] == [(2, 1, 8, 12), (2, 1, 16, 24)]


def test_segmentation_ignores_the_stain_decoder_but_not_the_reverse():
    network = NucleiNet(**SMALL)
    stain, logits, _ = network.forward_train(torch.randn(1, 7, 16, 16))
    logits.sum().backward(retain_graph=True)
    assert all(p.grad is None for p in network.stain.parameters())
    network.zero_grad()
    stain.sum().backward()
    assert all(p.grad is not None for p in network.segmentation.blocks[0].parameters())


def test_outlined_segmentation_adds_what_the_stain_decoder_sees():
    network = NucleiNet(**SMALL, outlined=True)
    plain = NucleiNet(**SMALL)
    plain.load_state_dict(network.state_dict(), strict=False)
    seen = {}
    network.refine.register_forward_hook(lambda *args: seen.update(features=args[2]))
    x = torch.randn(1, 7, 16, 16)
    stain, logits, _ = network.eval().forward_train(x)
    expected = plain.eval()(x)
    torch.testing.assert_close(stain, expected.stain)
    added = network.outline_head(seen["features"])
    torch.testing.assert_close(logits, expected.logits + added)


@pytest.mark.parametrize("kind", [DenseUNet, NucleiNet, partial(NucleiNet, outlined=True)])
def test_every_parameter_learns(kind):
    network = kind(**SMALL)
    x = torch.randn(2, 7, 16, 16)
    if isinstance(network, NucleiNet):
        stain, logits, sides = network.forward_train(x)
        loss = stain.mean() + logits.square().mean() + sum(s.square().mean() for s in sides)
    else:
        loss = network(x).square().mean()
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("kind", [DenseUNet, NucleiNet])
def test_channels_last_and_bfloat16_agree_with_float32(kind):
    network = kind(**SMALL).eval()
    x = torch.rand(1, 7, 32, 32)
    with torch.no_grad():
        plain = network(x)
        last = network.to(memory_format=torch.channels_last)(
            x.contiguous(memory_format=torch.channels_last)
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(x)
    results = [o if isinstance(o, tuple) else (o,) for o in (plain, last, half)]
    for a, b, c in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert c.dtype == torch.float32
        torch.testing.assert_close(a, c, atol=0.05, rtol=0.05)


def test_gradients_flow_under_autocast():
    network = NucleiNet(**SMALL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stain, logits, _ = network.forward_train(torch.rand(2, 7, 16, 16))
    (stain.mean() + logits.mean()).backward()
    assert torch.isfinite(network.encoder.stem.weight.grad).all()


def test_dropout_acts_only_in_training():
    network = DenseUNet(**SMALL, dropout=0.5)
    x = torch.rand(1, 7, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))


def test_discriminator_scores_patches():
    network = PatchDiscriminator()
    assert 1.7e6 < parameters(network) < 1.8e6
    assert network(torch.rand(1, 8, 128, 128)).shape == (1, 1, 6, 6)


def test_icnr_starts_as_nearest_neighbour_upsampling():
    conv = nn.Conv2d(3, 20, 3, padding=1, bias=False)
    icnr_(conv.weight)
    y = nn.functional.pixel_shuffle(conv(torch.randn(1, 3, 6, 6)), 2)
    blocks = y.reshape(1, 5, 6, 2, 6, 2)
    torch.testing.assert_close(blocks, blocks[..., :1, :, :1].expand_as(blocks))
    assert y.std() > 0.1


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
def test_architecture_round_trip(kind):
    architecture = Architecture(kind=kind, **SMALL)
    assert Architecture.model_validate_json(architecture.model_dump_json()) == architecture
    network = build_network(architecture)
    assert isinstance(network, {"dense-unet": DenseUNet, "nuclei": NucleiNet}[kind])
    assert network.training
    assert network.encoder.stem.weight.shape == (8, 7, 3, 3)
    assert architecture.divisor == 8


def test_architecture_refuses_unknown_settings():
    with pytest.raises(ValueError, match="extra"):
        Architecture(kind="dense-unet", depth=3)


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
def test_folded_networks_keep_the_size_and_start_without_a_checkerboard(kind):
    architecture = Architecture(kind=kind, **{**SMALL, "blocks": 2}, fold=3)
    assert architecture.divisor == 12
    network = build_network(architecture).eval()
    output = network(torch.randn(1, 7, 24, 36))
    image = output.stain if kind == "nuclei" else output
    assert image.shape == (1, 1, 24, 36)
    block = image.unfold(2, 3, 3).unfold(3, 3, 3)
    torch.testing.assert_close(block, block[..., :1, :1].expand_as(block))


def test_folded_nuclei_net_trains_its_side_outputs_on_the_coarser_grid():
    network = NucleiNet(**SMALL, fold=2)
    stain, logits, sides = network.forward_train(torch.randn(1, 7, 32, 32))
    assert stain.shape == (1, 1, 32, 32)
    assert logits.shape == (1, 2, 32, 32)
    assert [tuple(s.shape) for s in sides] == [(1, 1, 4, 4), (1, 1, 8, 8)]


def test_a_saturated_output_keeps_its_value_and_can_still_learn():
    x = torch.tensor([-40.0, 0.0, 40.0], requires_grad=True)
    stain = stain_from(x)
    assert stain.tolist() == [0.0, 0.5, 1.0]
    stain.sum().backward()
    assert x.grad.min() > 0.01
    assert stain_from(x.detach()).tolist() == [0.0, 0.5, 1.0]
