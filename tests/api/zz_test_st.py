import schemathesis, pytest, warnings
from hypothesis import settings, HealthCheck
from tests.api.harness import service
from flowrunner.api.app import create_app
import base64
from tests.api.harness import PASSWORD

_cm = service({"accounts": {"signup": "open"}})
svc = _cm.__enter__()
svc.team()
schema = schemathesis.openapi.from_asgi("/openapi.json", svc.client.app)
P = [
    "/v1/account",
    "/v1/accounts",
    "/v1/users",
    "/v1/users/{user_id}",
    "/v1/users/{user_id}/password",
    "/v1/tokens",
    "/v1/tokens/{token_id}",
    "/v1/session",
    "/v1/sessions",
    "/v1/sessions/{session_id}",
]
mine = schema.include(path=P)


@mine.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_api(case):
    tok = svc.team().tokens
    from flowrunner.services.identity import Role

    svc.clock.turn_to(svc.clock.now() + 60_000 * 60)
    case.call_and_validate(headers={"Authorization": "Bearer " + tok[Role.OWNER]})
