"""The files for GitHub: they agree with the package."""

import re
from pathlib import Path

import yaml

import mir_tf

ROOT = Path(__file__).parents[1]


def test_citation_and_workflow_fit_the_package() -> None:
    setup = (ROOT / "setup.cfg").read_text("utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == mir_tf.__version__
    assert f"license = {citation['license']}\n" in setup
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text("utf-8"))["jobs"]["checks"]
    assert job["steps"][-1]["run"] == ".ci/run"
    assert re.findall(r"Python :: (3\.\d+)\n", setup) == job["strategy"]["matrix"]["python"]


def test_the_form_for_reports_is_complete() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8"))
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids) > 2
    assert all(field["attributes"]["label"] for field in form["body"])
