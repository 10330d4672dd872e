"""Cloud assemblies as `cdk synth` writes them, made by hand: a few small stacks, without the CDK."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowrunner.adapters.aws.assembly import Assembly
from flowrunner.ports.installer import Place

ACCOUNT = "123456789012"
"""The account that moto plays."""
PLACE = Place(ACCOUNT, "eu-west-1")
BUCKET = f"cdk-hnb659fds-assets-{ACCOUNT}-eu-west-1"
ANY_BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"

Resources = Mapping[str, Any]

QUEUE: Resources = {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {}}}


def table(**properties: Any) -> dict[str, Any]:
    """A table, protected or not."""
    keys = {
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    return {"Type": "AWS::DynamoDB::Table", "Properties": {**keys, **properties}}


@dataclass
class Made:
    """One stack of an assembly that is to be written."""

    name: str
    resources: Resources
    outputs: Mapping[str, Any] = field(default_factory=dict)
    needs: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False
    folders: Sequence[Path] = ()
    environment: str = "aws://unknown-account/unknown-region"


def write_assembly(folder: Path, *stacks: Made) -> Path:
    """Write an assembly; its artifacts come in the order given, whatever they need."""
    folder.mkdir(parents=True, exist_ok=True)
    artifacts: dict[str, Any] = {"Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}}}
    for stack in stacks:
        artifacts |= _artifacts(folder, stack)
    (folder / "manifest.json").write_text(json.dumps({"version": "55.0.0", "artifacts": artifacts}), "utf-8")
    return folder


def assembly(folder: Path, *stacks: Made) -> Assembly:
    """The same, read for the account of the tests."""
    return Assembly.read(write_assembly(folder, *stacks), PLACE)


def _artifacts(folder: Path, stack: Made) -> dict[str, Any]:
    template = json.dumps({"Resources": stack.resources, "Outputs": stack.outputs})
    digest = hashlib.sha256(template.encode()).hexdigest()
    (folder / f"{stack.name}.template.json").write_text(template, "utf-8")
    files = {digest: _file(f"{stack.name}.template.json", "file", f"{digest}.json", f"{stack.name} Template")}
    for source in stack.folders:
        files[source.name] = _file(str(source), "zip", f"{source.name}.zip", source.name)
    assets = {"version": "55.0.0", "files": files, "dockerImages": {}}
    (folder / f"{stack.name}.assets.json").write_text(json.dumps(assets), "utf-8")
    return {
        f"{stack.name}.assets": {"type": "cdk:asset-manifest", "properties": {"file": f"{stack.name}.assets.json"}},
        stack.name: {
            "type": "aws:cloudformation:stack",
            "environment": stack.environment,
            "properties": {
                "templateFile": f"{stack.name}.template.json",
                "stackTemplateAssetObjectUrl": f"s3://{ANY_BUCKET}/{digest}.json",
                "terminationProtection": stack.protected,
                "tags": dict(stack.tags),
                "additionalDependencies": [f"{stack.name}.assets"],
            },
            "dependencies": [*stack.needs, f"{stack.name}.assets"],
        },
    }


def _file(path: str, packaging: str, key: str, name: str) -> dict[str, Any]:
    return {
        "displayName": name,
        "source": {"path": path, "packaging": packaging},
        "destinations": {"current": {"bucketName": ANY_BUCKET, "objectKey": key}},
    }
