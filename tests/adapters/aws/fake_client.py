"""What the fakes of AWS clients have in common, and S3 in this process."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def refusal(code: str, operation: str, message: str = "", **more: Any) -> ClientError:
    """The error for what AWS refuses, as botocore raises it."""
    response: Any = {"Error": {"Code": code, "Message": message or code}, **more}
    return ClientError(response, operation)


class FakeClient:
    """Calls are methods, named and called as botocore does. Not safe for several threads: see `calls.Client`."""

    def close(self) -> None:
        """Nothing is kept."""


class FakeObjects(FakeClient):
    """S3, as far as the store uses it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def head_bucket(self, **arguments: Any) -> Any:
        return {}

    def put_object(self, **arguments: Any) -> Any:
        self.objects[arguments["Key"]] = bytes(arguments["Body"])
        return {}

    def get_object(self, **arguments: Any) -> Any:
        if arguments["Key"] not in self.objects:
            raise refusal("NoSuchKey", "GetObject")
        return {"Body": _Body(self.objects[arguments["Key"]])}

    def delete_objects(self, **arguments: Any) -> Any:
        for one in arguments["Delete"]["Objects"]:
            self.objects.pop(one["Key"], None)
        return {}

    def list_objects_v2(self, **arguments: Any) -> Any:
        found = sorted(key for key in self.objects if key.startswith(arguments.get("Prefix", "")))
        return {"Contents": [{"Key": key} for key in found[:1000]]}


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content
