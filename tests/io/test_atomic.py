import errno
import os
from pathlib import Path

import pytest

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.atomic import atomic_path, check_replaceable


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_and_raise(path, error, *, overwrite=False):
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text("half")
        raise error


def write_to_full_disk(path):
    with atomic_path(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x" * 100_000)


def test_renames_on_success(tmp_path):
    target = tmp_path / "new" / "a.ome.tif"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".ome.tif")
        temporary.write_text("x")
        assert not target.exists()
    assert target.read_text() == "x"
    assert names(target.parent) == ["a.ome.tif"]


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        write_and_raise(tmp_path / "a.tif", RuntimeError())
    assert names(tmp_path) == []


def test_existing_is_kept_unless_asked(tmp_path):
    target = tmp_path / "a.tif"
    target.write_text("old")
    with pytest.raises(OutputError, match="exists already"), atomic_path(target):
        raise AssertionError("the block must not run")
    with pytest.raises(ValueError, match="bad"):
        write_and_raise(target, ValueError("bad"), overwrite=True)
    assert target.read_text() == "old"
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_replaces_a_folder(tmp_path):
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "old").write_text("")
    with atomic_path(target, overwrite=True) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["a.zarr"]


def test_overwriting_spares_the_folders_of_others(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(OutputError, match="other files"),
        atomic_path(tmp_path, overwrite=True, own=("rdf.yaml",)),
    ):
        raise AssertionError("the block must not run")
    assert names(tmp_path) == ["thesis.txt"]


def test_own_folders_are_replaced_and_empty_ones_taken(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    for overwrite in (False, True):
        with atomic_path(target, overwrite, own=("rdf.yaml",)) as temporary:
            temporary.mkdir()
            (temporary / "rdf.yaml").write_text(str(overwrite))
    assert (target / "rdf.yaml").read_text() == "True"
    with pytest.raises(OutputError, match="exists already"), atomic_path(target, own=("rdf.yaml",)):
        pass


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "not writable"), (errno.EROFS, "read-only")],
)
def test_system_errors_become_one_sentence(tmp_path, code, words):
    with pytest.raises(OutputError, match=words) as caught:
        write_and_raise(tmp_path / "a", OSError(code, os.strerror(code)))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"), atomic_path(tmp_path / "file" / "a"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_disk(tmp_path):
    with pytest.raises(OutputError, match="disk is full"):
        write_to_full_disk(tmp_path / "a")
    assert names(tmp_path) == []


def write_folder(target, **options):
    with atomic_path(target, **options) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("")


@pytest.mark.parametrize("name", [".", "..", "{tmp}", "link"])
def test_the_folder_one_works_in_is_refused_early(tmp_path, monkeypatch, name):
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(work, target_is_directory=True)
    monkeypatch.chdir(work)
    target = Path(name.format(tmp=work))
    for options in ({}, {"overwrite": True}, {"own": ("link",), "overwrite": True}):
        with pytest.raises(OutputError, match=r"in which you work.* name a folder in it"):
            check_replaceable(target, **options)
        with pytest.raises(OutputError, match="in which you work"):
            write_folder(target, **options)
    assert names(tmp_path) == ["work"]


def test_a_mount_point_is_refused_early(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "disk")
    with pytest.raises(OutputError, match="where a disk is mounted"):
        write_folder(tmp_path / "disk", own=())
    write_folder(tmp_path / "disk" / "inside")


@pytest.mark.parametrize("content", [(), ("old",)])
def test_a_link_to_a_folder_stays_and_its_folder_is_replaced(tmp_path, content):
    (tmp_path / "real").mkdir()
    for name in content:
        (tmp_path / "real" / name).write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real", target_is_directory=True)
    write_folder(link, overwrite=True, own=("old",))
    assert link.is_symlink()
    assert names(tmp_path / "real") == ["new"]
    assert names(tmp_path) == ["link", "real"]


def test_a_file_never_replaces_a_folder(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")

    def write_file():
        with atomic_path(folder, overwrite=True) as temporary:
            temporary.write_text("zip")

    with pytest.raises(OutputError, match=r"results is a folder.* name a file in it"):
        write_file()
    assert names(folder) == ["thesis.txt"]
    assert names(tmp_path) == ["results"]
