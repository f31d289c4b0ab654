"""The scripts that make the pictures of the theory pages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_its_picture_is_shown(script):
    text = script.read_text()
    assert len(text.splitlines()) <= 60
    pictures = re.findall(r'"(\w+\.png)"', text) or [f"{script.stem}.png"]
    pages = "".join(page.read_text() for page in (ROOT / "docs/theory").glob("*.md"))
    for picture in pictures:
        assert f"pictures/{picture}" in pages
        size = (ROOT / "docs/theory/pictures" / picture).stat().st_size
        assert 2_000 < size < 80_000


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_runs_and_writes_its_picture(script, tmp_path):
    argv = [sys.executable, str(script), "--out", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.png"))
