"""`rhe-client prepare` as a hospital runs it: progress on its terminal; kill -9 costs one lesion at most."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import psutil
import pytest
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from sites.handmade import make_site, read_rows, write_table

PATIENTS = 9
LESIONS = 2 * PATIENTS
PLAN = """
name = "Prepared"
seed = 5
threads = {threads}
profile = "simulation"
two_site_ack = true
phases = ["training"]
sites = [{{ name = "a", role = "train" }}, {{ name = "b", role = "train" }}]
models = [{{ kind = "logistic", name = "Combined", covariates = ["radiomics"] }}]
[radiomics]
readings = ["inter"]
"""

pytestmark = pytest.mark.slow


@dataclass
class Preparation:
    """The command in a terminal of its own."""

    arguments: list[str]
    shown: bytes = b""
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        ours, its = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
        command = [str(Path(sys.executable).with_name("rhe-client")), "prepare", *self.arguments]
        self.process = subprocess.Popen(command, stdout=its, stderr=its, env=environment)
        os.close(its)
        self._reader = Thread(target=self._read, args=(ours,), daemon=True)
        self._reader.start()

    def _read(self, terminal: int) -> None:
        """Until the other side is closed, which Linux tells as an input error."""
        try:
            while part := os.read(terminal, 65536):
                self.shown += part
        except OSError:
            pass
        os.close(terminal)

    def finish(self) -> str:
        """What stood on the terminal, once the command has ended well."""
        assert self.process.wait(300) == 0, self.text
        return self.text

    def kill(self) -> None:
        workers = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(60)
        # A worker that lives on for a moment might still keep a lesion
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert alive == []
        self._reader.join(60)

    @property
    def text(self) -> str:
        self._reader.join(0 if self.process.poll() is None else 30)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown.decode(errors="replace"))


@pytest.fixture
def folder(tmp_path):
    root = make_site(tmp_path / "a", "a", PATIENTS)
    rows = read_rows(root)
    for row in rows:
        path = f"images/{row['patient']}_again.nii.gz"
        mask = sitk.ReadImage(str(root / row["baseline_mask"]))
        sitk.WriteImage(sitk.BinaryDilate(mask, [1, 1, 0]), str(root / path))
        row["baseline_mask_second_reader"] = path
    write_table(root, rows)
    return root


def extracted(cache: Path) -> dict[str, tuple[int, int]]:
    """The lesions whose features are kept: manifests, because an entry without one does not exist."""
    features = (path.name.split(".")[0] for path in cache.glob("*/*.features.npy"))
    manifests = (cache / key[:2] / f"{key}.json" for key in features)
    return {one.stem: (one.stat().st_ino, one.stat().st_mtime_ns) for one in manifests if one.exists()}


@pytest.mark.parametrize("threads", [1, 2])
def test_extraction_shows_progress_and_goes_on_after_a_kill(folder, tmp_path, threads):
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(threads=threads))
    state = tmp_path / "state"
    arguments = [str(folder), "--plan", str(plan), "--state", str(state)]
    first = Preparation(arguments)
    deadline = time.monotonic() + 300
    while len(extracted(state / "cache")) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    first.kill()
    kept = extracted(state / "cache")

    shown = Preparation(arguments).finish()

    assert 4 <= len(kept) < LESIONS
    assert re.search(rf"extracting radiomics.*\d/{LESIONS}", first.text)
    done = [int(n) for n in re.findall(rf"extracting radiomics[^\r\n]*?(\d+)/{LESIONS}", shown)]
    assert done == sorted(done)
    assert f"{PATIENTS} patients, {PATIENTS} usable" in shown
    after = extracted(state / "cache")
    assert len(after) == LESIONS
    assert {key: after[key] for key in kept} == kept
    assert not list((state / "cache").glob("*/.*.partial"))
