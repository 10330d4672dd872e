"""What AWS refuses, in words that say what to do."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from flowrunner.adapters.aws.cloud import Cloud, CloudError, asked
from flowrunner.errors import ConfigurationError, FlowrunnerError

from tests.aws import cloud


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (NoCredentialsError(), ConfigurationError, "aws sso login"),
        (NoRegionError(), ConfigurationError, "--region"),
        (refusal("ExpiredToken"), ConfigurationError, "have expired"),
        (refusal("InvalidClientTokenId"), ConfigurationError, "does not accept these credentials"),
        (refusal("AccessDenied"), CloudError, "looking: no (these credentials lack a permission)"),
        (refusal("Throttling"), CloudError, "looking: no"),
        (ClientError({}, "Call"), CloudError, "looking: "),
        (EndpointConnectionError(endpoint_url="https://x"), CloudError, "Could not connect"),
    ],
)
def test_each_refusal_says_what_to_do(raised: Exception, kind: type[FlowrunnerError], said: str) -> None:
    """What is the caller's to put right is a matter of configuration; the rest is AWS's."""
    with pytest.raises(kind) as caught, asked("looking"):
        raise raised
    assert said in str(caught.value)


def test_other_errors_are_left_alone() -> None:
    """A mistake of ours is not AWS's."""
    with pytest.raises(KeyError), asked("looking"):
        raise KeyError


def test_the_place_is_known_from_the_credentials() -> None:
    """The account and the partition; the region is given."""
    with cloud():
        place = Cloud("eu-central-1").place
    assert (place.account, place.region, place.partition) == ("123456789012", "eu-central-1", "aws")
