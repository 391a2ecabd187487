"""Only files that we wrote are ever deleted."""

import pytest

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.atomic import atomic_path, check_replaceable
from napari_fluorgen.io.own_files import LIST_FILE, list_files, listed_files


def write(target, text, overwrite=False):
    with atomic_path(target, overwrite, own=listed_files(target)) as temporary:
        (temporary / "labels").mkdir(parents=True)
        for name in (f"{text}.tif", "labels/a_nuclei.tif"):
            (temporary / name).write_text(text)
        list_files(temporary)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_of_ours_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "plate"
    write(target, "old")
    with pytest.raises(OutputError, match="exists already"):
        write(target, "new")
    (target / ".DS_Store").write_text("left by looking")
    write(target, "new", overwrite=True)
    assert sorted(contents(target)) == [LIST_FILE, "labels/a_nuclei.tif", "new.tif"]
    assert [path.name for path in tmp_path.iterdir()] == ["plate"]


@pytest.mark.parametrize("name", ["notes.txt", "labels/hand_drawn.tif", "stained/deep/run.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_one_file_of_somebody_else_keeps_the_folder(tmp_path, name, overwrite):
    target = tmp_path / "plate"
    write(target, "old")
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    (target / name).write_text("mine")
    before = contents(target)
    with pytest.raises(OutputError, match=rf"other files .* the first is {name}: move them away"):
        write(target, "new", overwrite)
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["plate"]


def test_links_and_empty_folders_of_others_are_theirs(tmp_path):
    target = tmp_path / "plate"
    write(target, "old")
    (tmp_path / "elsewhere").mkdir()
    (target / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(OutputError, match="the first is link"):
        check_replaceable(target, True, listed_files(target))
    (target / "link").unlink()
    (target / "for later").mkdir()
    with pytest.raises(OutputError, match="the first is for later"):
        check_replaceable(target, True, listed_files(target))


def test_what_comes_while_we_write_is_kept_too(tmp_path):
    target = tmp_path / "plate"
    write(target, "old")

    def write_slowly():
        with atomic_path(target, True, own=listed_files(target)) as temporary:
            temporary.mkdir()
            (target / "Nuclei.csv").write_text("measured meanwhile")

    with pytest.raises(OutputError, match=r"the first is Nuclei\.csv"):
        write_slowly()
    assert contents(target)["Nuclei.csv"] == "measured meanwhile"
    assert contents(target)["old.tif"] == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["plate"]


@pytest.mark.parametrize("text", ["", "{", "3", '["a.tif"]', '{"a.tif": 1}'])
def test_a_damaged_list_names_nothing(tmp_path, text):
    (tmp_path / LIST_FILE).write_text(text)
    assert not listed_files(tmp_path)


def test_names_of_any_bytes_are_listed(tmp_path):
    name = "caf\udce9.tif"
    try:
        (tmp_path / name).write_text("")
    except (OSError, UnicodeError):
        pytest.skip("this disk takes UTF-8 names alone")
    list_files(tmp_path)
    assert listed_files(tmp_path) == {name, LIST_FILE}


def test_a_pipeline_that_was_changed_is_its_authors(tmp_path):
    for name in ("a.cppipe", "b.tif"):
        (tmp_path / name).write_text("ours")
    list_files(tmp_path)
    assert listed_files(tmp_path) == {"a.cppipe", "b.tif", LIST_FILE}
    for name in ("a.cppipe", "b.tif"):
        (tmp_path / name).write_text("tuned")
    assert listed_files(tmp_path) == {"b.tif", LIST_FILE}
