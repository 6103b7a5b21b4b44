"""What README and docs/ name must exist: commands, flags, files and Python names."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml  # type: ignore[import-untyped]
from absl.flags import FLAGS

from tafe_tf import __main__ as tafe
from tafe_tf import insight_flags, runs_flags, source_flags, tracking_flags  # noqa: F401  # FLAGS

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FOLDERS = ("tafe_tf", "export", "serving", "benchmarks", "examples")
# Flags of other programs: TensorFlow Serving, the runners of Beam, absl itself, pip, curl, MLflow.
FOREIGN = {
    "backend-store-uri",
    "conf",
    "dask_client_address",
    "dask_npartitions",
    "enable_batching",
    "environment_config",
    "environment_type",
    "fail-with-body",
    "flagfile",
    "flink_master",
    "help",
    "master",
    "max-time",
    "no-deps",
    "nthreads",
    "parallelism",
    "project",
    "region",
    "sdk_container_image",
    "spark_master_url",
    "temp_location",
}
NAMES_IN_README = {"boosted trees": ["gbdt", "gbdt/heads=conditional"]}


def sources() -> str:
    """The text of all our modules."""
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def text(page: str) -> str:
    """A page of the documentation."""
    return (ROOT / page).read_text(encoding="utf-8")


def table_rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, its header first."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    header, _, *rows = lines
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in (header, *rows)]


def test_readme_has_the_figures_of_the_page_which_model() -> None:
    page = text("docs/which_model.md")
    of_steps = page.split("## Mean AUC over the steps\n")[1].split("\n## ")[0]
    (_, *funnels), *of_models = table_rows(of_steps)
    cells = {name: dict(zip(funnels, row, strict=True)) for name, *row in of_models}
    in_readme = text("README.md").split("five seeds:\n")[1].split("\nThe others")[0]
    _, *rows = table_rows(in_readme)
    for funnel, (_, of_tafe, best, difference, _) in zip(funnels, rows, strict=True):
        mean, name = best.removesuffix(")").split(" (")
        models = NAMES_IN_README.get(name, [name.lower().replace(" ", "_")])
        # The best of the others has the interval of its AUC where the others have a difference.
        of_best = [cells[model][funnel] for model in models]
        assert any(cell.startswith(f"**{mean}** [") for cell in of_best), funnel
        without_zeros = cells["tafe"][funnel].replace("0.", ".").replace("**", "")
        assert without_zeros == f"{of_tafe} {difference}", funnel


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_commands_that_a_page_names_exist(page: str) -> None:
    named = set(re.findall(r"(?:^|`)tafe ([a-z_]+)", text(page), flags=re.MULTILINE))
    assert named <= set(tafe.COMMANDS)


def test_the_page_of_commands_lists_all_of_them_with_their_modules() -> None:
    rows = re.findall(r"^\| `tafe ([a-z_]+)` \| `([a-z_.]+)` \|", text("docs/commands.md"), re.M)
    modules = {command: module.removeprefix("tafe_tf.") for command, module in rows}
    expected = {
        command: module.removeprefix("tafe_tf.") for command, module in tafe.COMMANDS.items()
    }
    assert modules == expected


def test_modules_that_pages_run_exist() -> None:
    for page in PAGE_NAMES:
        for module in re.findall(r"python -m ([a-z_.]+)", text(page)):
            path = ROOT.joinpath(*module.split("."))
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_flags_that_pages_name_exist() -> None:
    defined = re.findall(r'(?:DEFINE_\w+|add_argument)\(\s*"(?:--)?(\w+)"', sources())
    known = {*defined, *FLAGS, *FOREIGN}
    assert {"learning_rate", "data_dir", "tracking", "html", "trials"} <= known
    for page in PAGE_NAMES:
        for flag in re.findall(r"(?<![-\w])--([a-z][-a-z0-9_]*)", text(page)):
            assert flag in known or flag.removeprefix("no") in known, f"{page}: --{flag}"


def test_files_that_readme_and_build_notes_link_to_exist() -> None:
    for page in ("README.md", "BUILD_NOTES.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", text(page)):
            assert (ROOT / target).exists(), f"{page}: {target}"


def test_flagfiles_and_examples_that_pages_name_exist() -> None:
    for page in PAGE_NAMES:
        for path in re.findall(r"\b((?:flagfiles|examples)/[\w./]+\.\w+)", text(page)):
            assert (ROOT / path).exists(), f"{page}: {path}"


def test_the_policy_for_training_lets_in_the_pods_of_the_job_alone() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", text("docs/clusters.md"), flags=re.DOTALL)
    policy = yaml.safe_load(block)
    assert (policy["kind"], policy["apiVersion"]) == ("NetworkPolicy", "networking.k8s.io/v1")
    spec = policy["spec"]
    pods = {"podSelector": spec["podSelector"]}
    assert spec["podSelector"]["matchLabels"]
    assert spec["ingress"] == [{"from": [pods]}]
    to_pods, names = spec["egress"]
    assert to_pods == {"to": [pods]}
    assert {port["port"] for port in names["ports"]} == {53}
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
