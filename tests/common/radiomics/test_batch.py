from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.imaging.cache import Cache
from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.reader import read_scan
from common.radiomics.batch import ExtractionJob, Extractor, extract_cases
from common.radiomics.extract import extract
from common.radiomics.settings import ExtractionSettings
from tests.common.radiomics.lesions import textured

ROOT = Path(__file__).parents[3]
LABELS = MaskLabels()


def write(path, array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 5.0))
    sitk.WriteImage(image, str(path))
    return path


def make_job(folder, name, ball, *, empty=False):
    lesion = np.zeros((12, 64, 60), dtype=np.uint8)
    lesion[2:9, 8:19, 9:18] = ball
    voxels = textured(lesion.shape, lesion, seed=sum(name.encode())).astype(np.int16)
    voxels[:, :3] = -1000
    mask = np.full_like(lesion, 2) * lesion if empty else lesion
    return ExtractionJob(
        name,
        write(folder / f"{name}.nii.gz", voxels),
        write(folder / f"{name}-mask.nii.gz", mask),
        LABELS,
    )


@pytest.fixture
def jobs(tmp_path, ball):
    return [make_job(tmp_path, name, ball) for name in ("a", "b")]


@pytest.fixture
def extractor(tmp_path):
    return Extractor(Cache(tmp_path / "cache"), ExtractionSettings())


def entries(extractor):
    return {path: path.stat().st_mtime_ns for path in extractor.cache.folder.glob("*/*.json")}


def test_cases_are_what_one_extraction_gives_and_the_cache_keeps_them(jobs, extractor):
    scan = read_scan(jobs[0].ct)
    expected = extract(scan, read_mask(jobs[0].mask, scan, LABELS))

    first = extract_cases(jobs, extractor)
    kept = entries(extractor)
    again = extract_cases(jobs, extractor)

    assert list(first.cases) == ["a", "b"]
    assert not np.array_equal(first.cases["a"].values, first.cases["b"].values)
    assert entries(extractor) == kept
    for found in (first.cases["a"], again.cases["a"]):
        np.testing.assert_array_equal(found.values, expected.values)
        assert (found.voxels, found.components, found.touches_border) == (expected.voxels, 1, False)


def test_two_processes_give_the_same_and_one_refusal_costs_only_itself(jobs, extractor, tmp_path, ball):
    jobs.insert(1, make_job(tmp_path, "ivh", ball, empty=True))
    alone = extract_cases(jobs, Extractor(Cache(tmp_path / "other"), ExtractionSettings()))
    told = []

    both = extract_cases(jobs, extractor, workers=2, report=lambda *progress: told.append(progress))

    assert told == [(1, 3), (2, 3), (3, 3)]
    assert list(both.cases) == list(alone.cases) == ["a", "b"]
    assert both.refused == alone.refused
    assert "no voxel of ICH" in both.refused["ivh"]
    for name in both.cases:
        np.testing.assert_array_equal(both.cases[name].values, alone.cases[name].values)


def test_key_depends_on_content_labels_and_settings_but_not_on_names(jobs, extractor, tmp_path, ball):
    key = extractor.key(jobs[0])
    (tmp_path / "elsewhere").mkdir()
    copied = [path.rename(tmp_path / "elsewhere" / path.name) for path in (jobs[0].ct, jobs[0].mask)]

    assert extractor.key(ExtractionJob("z", *copied, LABELS)) == key
    others = [
        extractor.key(ExtractionJob("a", *copied, MaskLabels((1, 3)))),
        extractor.key(ExtractionJob("a", copied[0], jobs[1].mask, LABELS)),
        extractor.key(jobs[1]),
        Extractor(extractor.cache, ExtractionSettings(voi="ICH+IVH")).key(
            ExtractionJob("a", *copied, LABELS)
        ),
        Extractor(extractor.cache, ExtractionSettings(interpolation="bspline")).key(
            ExtractionJob("a", *copied, LABELS)
        ),
    ]
    # The two masks are equal, so which of them is read makes no difference
    assert others[1] == key
    assert len({key, *others}) == 5


def test_names_are_unique(jobs, extractor):
    with pytest.raises(ValueError, match="unique"):
        extract_cases([jobs[0], jobs[0]], extractor)


SCRIPT = """
import sys
from pathlib import Path
from common.imaging.cache import Cache
from common.imaging.masks.mask import MaskLabels
from common.radiomics.batch import ExtractionJob, Extractor, extract_cases
from common.radiomics.settings import ExtractionSettings

if __name__ == "__main__":
    folder, workers, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    jobs = [
        ExtractionJob(name, folder / f"{name}.nii.gz", folder / f"{name}-mask.nii.gz", MaskLabels())
        for name in names
    ]
    extractor = Extractor(Cache(folder / "cache"), ExtractionSettings())
    extract_cases(jobs, extractor, workers, lambda done, of: print(done, of, flush=True))
    print({"torch", "monai", "flwr"} & set(sys.modules), flush=True)
"""


def started(tmp_path, workers, names):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path), str(workers), *names]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def test_neither_torch_nor_flower_is_imported(jobs, tmp_path):
    process = started(tmp_path, 1, ["a"])
    output, _ = process.communicate(timeout=120)

    assert output.splitlines() == ["1 1", "set()"]


@pytest.mark.slow
def test_killed_run_leaves_no_process_and_goes_on_where_it_was(tmp_path, ball, extractor):
    names = [f"p{index}" for index in range(8)]
    jobs = [make_job(tmp_path, name, ball) for name in names]
    process = started(tmp_path, 2, names)
    assert process.stdout.readline() == "1 8\n"
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=20)
    time.sleep(0.1)
    kept = entries(extractor)

    found = extract_cases(jobs, extractor)

    assert len(children) >= 2
    assert not alive
    assert 1 <= len(kept) < len(names)
    assert list(found.cases) == names
    assert kept.items() <= entries(extractor).items()
    assert len(entries(extractor)) == len(names)
