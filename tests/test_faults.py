"""The script that counts faults finds no defect; docs/faults.md has its table with all trials."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("part", "trials"), [("kill", 3), ("files", 3), ("disk", 2), ("several", 1)])
def test_no_fault_ends_in_a_traceback_or_is_kept_silent(part: str, trials: int) -> None:
    command = [sys.executable, "benchmarks/faults.py", "--parts", part, "--trials", str(trials)]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    if "not tried" in rows[0][0]:
        pytest.skip(rows[0][0])
    assert len(rows) >= 2
    assert all(int(count) > 0 for _, count, _ in rows)


def test_the_page_has_no_defect() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    assert not [line for line in page.splitlines() if line.startswith("|") and "DEFECT" in line]
    assert "benchmarks/faults.py" in page
