"""Messages to connections of a WebSocket API of API Gateway."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from flowrunner.adapters.aws.table import code_of, translated

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

GONE = ("GoneException", "BadRequestException")
"""The answer for a connection that is closed, and for what is the id of none."""


class ApiGatewayPush:
    """See `ports.push.Push`."""

    def __init__(self, make: Callable[[], ApiGatewayManagementApiClient]) -> None:
        """`make` is called at the first message: most processes send none."""
        self._make = make
        self._made: ApiGatewayManagementApiClient | None = None
        self._lock = Lock()

    @property
    def _client(self) -> ApiGatewayManagementApiClient:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def send(self, connection: str, message: bytes) -> bool:
        with translated("API Gateway"):
            try:
                self._client.post_to_connection(ConnectionId=connection, Data=message)
            except ClientError as error:
                if code_of(error) in GONE:
                    return False
                raise
        return True

    def close(self, connection: str) -> None:
        with translated("API Gateway"):
            try:
                self._client.delete_connection(ConnectionId=connection)
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise
