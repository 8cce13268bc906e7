"""Attention maps lie beside results.json; earlier files hold them inside."""

import base64
import json

import pytest
from studies.results import PIXEL_PNG, Make, make_study

from common.errors import ResumeError
from server.results.file import load_results, save_results

STUDY = make_study(Make(models=("net",), rounds=1))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "results.json"
    save_results(STUDY, path)
    return path


def test_the_file_names_each_picture_and_holds_no_pixel(saved):
    """Pictures were a third of the demonstration's results.json."""
    content = json.loads(saved.read_text())

    assert content["overlays"]
    assert base64.b64encode(PIXEL_PNG).decode() not in saved.read_text()
    for overlay in content["overlays"]:
        assert (saved.parent / overlay["picture"]).read_bytes() == PIXEL_PNG
        assert "png_base64" not in overlay


def test_a_file_with_its_pictures_inside_is_read_and_written_as_today_s(saved):
    content = json.loads(saved.read_text())
    for overlay in content["overlays"]:
        del overlay["picture"]
        overlay["png_base64"] = base64.b64encode(PIXEL_PNG).decode()
    earlier = saved.parent / "earlier" / "results.json"
    earlier.parent.mkdir()
    earlier.write_text(json.dumps(content))

    results = load_results(earlier)

    assert results == STUDY
    save_results(results, earlier)
    assert earlier.read_bytes() == saved.read_bytes()


def test_a_missing_picture_is_named_with_what_to_do(saved):
    for picture in (saved.parent / "pictures").iterdir():
        picture.unlink()

    with pytest.raises(ResumeError, match=r"pictures/\w+\.png: cannot be read .* folder pictures beside it"):
        load_results(saved)


def test_another_picture_under_the_same_name_is_refused(saved):
    for picture in (saved.parent / "pictures").iterdir():
        picture.write_bytes(PIXEL_PNG + b"more")

    with pytest.raises(ResumeError, match="is not the picture that the study wrote"):
        load_results(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"picture": "../../etc/passwd"},
        {"picture": "pictures/../results.json"},
        {"picture": None},
        {"png_base64": "AAAA"},  # both
    ],
)
def test_no_other_file_is_named_and_there_is_one_picture(saved, changes):
    content = json.loads(saved.read_text())
    content["overlays"][0] |= changes
    saved.write_text(json.dumps(content))

    with pytest.raises(ResumeError, match=r"overlays\.0"):
        load_results(saved)
