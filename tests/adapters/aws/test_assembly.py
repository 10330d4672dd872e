"""Reading what `cdk synth` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flowrunner.adapters.aws.assembly import Assembly, all_assets
from flowrunner.errors import ConfigurationError

from tests.assemblies import ACCOUNT, BUCKET, PLACE, QUEUE, Made, assembly, write_assembly


def edited(folder: Path, file: str, change: Any) -> None:
    """Change a document of an assembly in place."""
    document = json.loads((folder / file).read_text("utf-8"))
    change(document)
    (folder / file).write_text(json.dumps(document), "utf-8")


def test_stacks_come_after_those_they_need(tmp_path: Path) -> None:
    """Whatever the order in the manifest."""
    read = assembly(
        tmp_path,
        Made("engine", QUEUE, needs=["api", "data"]),
        Made("api", QUEUE, needs=["data"]),
        Made("data", QUEUE),
    )
    assert [stack.name for stack in read.stacks] == ["data", "api", "engine"]


def test_a_stack_has_its_template_assets_tags_and_protection(tmp_path: Path) -> None:
    """With the account and the region filled in."""
    code = tmp_path / "code"
    stack = assembly(tmp_path / "out", Made("data", QUEUE, tags={"a": "b"}, protected=True, folders=[code])).stacks[0]
    assert stack.template()["Resources"] == QUEUE
    assert (stack.tags, stack.protected, stack.template_bucket) == ({"a": "b"}, True, BUCKET)
    template, folder = stack.assets
    assert (template.zipped, template.bucket, template.key) == (False, BUCKET, stack.template_key)
    assert (folder.zipped, folder.source, folder.key) == (True, code, "code.zip")


def test_shared_assets_are_listed_once(tmp_path: Path) -> None:
    """Two functions with the same layer upload it once."""
    stacks = assembly(
        tmp_path, Made("a", QUEUE, folders=[tmp_path / "layer"]), Made("b", QUEUE, folders=[tmp_path / "layer"])
    ).stacks
    assert sorted(asset.key for asset in all_assets(stacks) if asset.zipped) == ["layer.zip"]


@pytest.mark.parametrize("environment", [f"aws://{ACCOUNT}/unknown-region", "aws://unknown-account/eu-west-1"])
def test_a_stack_for_this_place_is_taken(environment: str, tmp_path: Path) -> None:
    """One that names the account or the region as they are."""
    assert len(assembly(tmp_path, Made("data", QUEUE, environment=environment)).stacks) == 1


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ("aws://999999999999/eu-west-1", "made for account 999999999999"),
        (f"aws://{ACCOUNT}/us-east-1", "made for region us-east-1"),
    ],
)
def test_a_stack_for_another_place_is_refused(environment: str, said: str, tmp_path: Path) -> None:
    """Instead of being put where it does not belong."""
    with pytest.raises(ConfigurationError, match=said):
        assembly(tmp_path, Made("data", QUEUE, environment=environment))


def test_stacks_in_a_circle_are_refused(tmp_path: Path) -> None:
    """There is no order for them."""
    with pytest.raises(ConfigurationError, match="circle"):
        assembly(tmp_path, Made("a", QUEUE, needs=["b"]), Made("b", QUEUE, needs=["a"]))


def test_what_cannot_be_deployed_is_refused(tmp_path: Path) -> None:
    """Images, templates that are no assets, folders that are no assembly, documents that are none."""
    made = Made("data", QUEUE)
    images = write_assembly(tmp_path / "images", made)
    edited(images, "data.assets.json", lambda one: one.update(dockerImages={"x": {}}))
    inline = write_assembly(tmp_path / "inline", made)
    edited(
        inline,
        "manifest.json",
        lambda one: one["artifacts"]["data"]["properties"].pop("stackTemplateAssetObjectUrl"),
    )
    broken = write_assembly(tmp_path / "broken", made)
    (broken / "manifest.json").write_text("{", "utf-8")
    listed = write_assembly(tmp_path / "listed", made)
    (listed / "manifest.json").write_text("[]", "utf-8")
    for folder, said in (
        (images, "images are not supported"),
        (inline, "is no asset"),
        (broken, "is no JSON"),
        (listed, "is no JSON object"),
        (tmp_path / "nothing", "cannot be read"),
        (write_assembly(tmp_path / "empty"), "no stacks"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Assembly.read(folder, PLACE)
