from __future__ import annotations

import dask.array
import numpy as np
import pytest
import zarr
from napari.layers import Image, Labels

from napari_fluorgen.errors import InputError
from napari_fluorgen.widgets.presenters.layers import key_of
from napari_fluorgen.widgets.train.book import PairBook
from napari_fluorgen.widgets.train.pairs import (
    LayerPair,
    stack_of_pair,
    stacks_of_pairs,
    truth_read,
)

from ..conftest import OnDisk  # noqa: TID252 - the layers of all docks


def test_a_pair_becomes_a_stack_with_truth(stack, loaded):
    brightfield, lipids, nuclei = loaded
    labels = Labels(np.ones((96, 128), np.int32))
    pair = LayerPair(brightfield, {"nuclei": nuclei, "lipids": lipids, "labels": labels})
    made = stack_of_pair(pair)
    assert made.pixel_size_um == pytest.approx(stack.pixel_size_um)
    assert made.z_um == stack.z_um
    assert made.identity == stack.identity
    np.testing.assert_array_equal(made.truth["nuclei"], stack.truth["nuclei"])
    np.testing.assert_array_equal(made.truth["labels"], 1)
    labels.data[0, 0] = 7
    assert made.truth["labels"][0, 0] == 1, "painting does not change what is learned"


def test_a_plane_with_axes_of_length_one_is_a_plane(loaded):
    plane = Image(np.ones((1, 96, 128)))
    made = stack_of_pair(LayerPair(loaded[0], {"lipids": plane}))
    assert made.truth["lipids"].shape == (96, 128)


@pytest.mark.parametrize("kind", ["zarr", "dask"])
def test_a_layer_on_disk_gives_what_it_shows(foreign, kind):
    pixels = {"mine": foreign["planes"].data, "stain": foreign["stain"].data[None]}
    make = {"zarr": lambda x: zarr.array(x), "dask": lambda x: dask.array.from_array(x)}[kind]
    mine, stain = (Image(make(data), name=name) for name, data in pixels.items())
    made = stack_of_pair(LayerPair(mine, {"lipids": stain}))
    assert made.shape == (5, 48, 64)
    assert made.data.dtype == mine.data.dtype
    np.testing.assert_array_equal(made.data[1:3, 5], pixels["mine"][1:3, 5])
    np.testing.assert_array_equal(made.data, pixels["mine"])
    np.testing.assert_array_equal(truth_read(made).truth["lipids"], pixels["stain"][0])


@pytest.mark.parametrize("copy", [True, False])
def test_a_layer_on_disk_is_not_read_to_judge_its_pair(foreign, copy):
    mine, stain = OnDisk(foreign["planes"].data), OnDisk(foreign["stain"].data[None])
    pair = LayerPair(Image(mine, name="mine"), {"lipids": Image(stain)})
    mine.readers.clear()
    stain.readers.clear()
    (made,) = stacks_of_pairs([pair], copy=copy)
    assert made.truth["lipids"].shape == (48, 64)
    assert mine.readers == stain.readers == []
    assert truth_read(made).truth["lipids"].shape == (48, 64)
    assert len(stain.readers) == 1


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ({}, "no true stain"),
        ({"labels": Labels(np.ones((96, 128), np.int32))}, "no true stain"),
        ({"nuclei": Image(np.zeros((90, 128)), name="cut")}, "'cut' has 90×128 pixels"),
        (
            {"nuclei": Image(np.zeros((96, 128)), scale=(0.6, 0.6), units=["um", "um"])},
            "pixels of 0.6 µm",
        ),
    ],
)
def test_pairs_that_do_not_fit_are_one_sentence(loaded, truth, said):
    with pytest.raises(InputError, match=said) as caught:
        stack_of_pair(LayerPair(loaded[0], truth))
    assert "\n" not in str(caught.value)


def test_a_layer_is_chosen_once(loaded):
    with pytest.raises(InputError, match="as nuclei and as lipids"):
        stack_of_pair(LayerPair(loaded[0], {"nuclei": loaded[1], "lipids": loaded[1]}))


def test_a_stain_belongs_to_one_field(foreign):
    other = Image(foreign["planes"].data, name="other")
    pairs = [LayerPair(field, {"nuclei": foreign["stain"]}) for field in (foreign["planes"], other)]
    with pytest.raises(InputError, match=r"chosen for 'mine' and for 'other'"):
        stacks_of_pairs(pairs)


def test_fields_of_one_name_are_numbered(foreign):
    pair = LayerPair(foreign["planes"], {"nuclei": foreign["stain"]})
    names = [stack.identity.name for stack in stacks_of_pairs([pair, pair, pair])]
    assert names == ["mine", "mine-2", "mine-3"]


def test_the_book_follows_the_layers(loaded, foreign):
    book = PairBook()
    brightfield, lipids, _ = loaded
    book.follow([brightfield])
    key = key_of(brightfield)
    assert book.fields == (brightfield,)
    assert book.pairs == ()
    book.follow(loaded)
    assert [pair.title for pair in book.pairs] == ["B03 s1: nuclei, lipids"]
    assert book.choice(key, "lipids") == key_of(lipids)
    book.follow([*loaded, *foreign.values()])
    assert len(book.pairs) == 2
    book.follow([brightfield, lipids])
    assert book.choice(key, "nuclei") is None
    assert [pair.title for pair in book.pairs] == ["B03 s1: lipids"]
    book.follow([lipids])
    assert book.pairs == ()


def test_the_book_keeps_what_the_user_chose(loaded, foreign):
    book = PairBook()
    book.follow(loaded)
    key = key_of(loaded[0])
    book.choose(key, "lipids", None)
    book.check(key, True)
    book.follow([*loaded, foreign["planes"]])
    assert book.choice(key, "lipids") is None
    book.choose(key, "nuclei", None)
    assert book.is_checked(key), "ticked by hand stays ticked"
    book.check(key, False)
    assert book.pairs == ()
    other = key_of(foreign["planes"])
    assert not book.is_checked(other)
    names = [name for name, _ in book.options(other, "nuclei")]
    assert names[0] == "–"
    assert len(names) == 3
