"""The console behind CloudFront, with the API under its name."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from flowrunner.api.console import OURS, POLICY

from infra.console import API_PATHS, VIEWS
from tests.infra.assembly import Assembly, text


def test_there_is_none_before_it_was_built(dev: Assembly) -> None:
    """Only a context that names its folder makes one."""
    assert "console" not in dev.templates
    assert not dev.resources("AWS::CloudFront::Distribution")


def test_files_are_read_by_the_distribution_alone(console: Assembly) -> None:
    """The bucket is private, and lets in what CloudFront has signed for this distribution."""
    policy = json.dumps(console.one("AWS::S3::BucketPolicy", "Files")["PolicyDocument"])
    assert "cloudfront.amazonaws.com" in policy
    assert "AWS:SourceArn" in policy
    assert (
        console.one("AWS::CloudFront::OriginAccessControl")["OriginAccessControlConfig"]["SigningBehavior"] == "always"
    )


def test_the_api_is_under_the_same_name(console: Assembly) -> None:
    """What is the API's is passed on with cookies and all, and never kept; an error of its stays its own."""
    config = console.one("AWS::CloudFront::Distribution")["DistributionConfig"]
    behaviors = {one["PathPattern"]: one for one in config["CacheBehaviors"]}
    assert set(behaviors) == set(API_PATHS)
    for behavior in behaviors.values():
        assert "POST" in behavior["AllowedMethods"]
        assert behavior["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "CachingDisabled"
        assert behavior["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac", "AllViewerExceptHostHeader"
    assert "CustomErrorResponses" not in config
    assert config["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    assert {path.partition("/")[0] for path in API_PATHS} == set(OURS) - {"metrics"}, "which functions do not serve"


def test_the_page_may_do_what_it_may_elsewhere(console: Assembly, full: Assembly) -> None:
    """Its policy is that of the console served by the API, with the way to the live events."""
    headers = console.one("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    security = headers["SecurityHeadersConfig"]
    policy = text(security["ContentSecurityPolicy"]["ContentSecurityPolicy"]).split("; ")
    assert [rule for rule in policy if not rule.startswith("connect-src")] == [
        rule for rule in POLICY.split("; ") if not rule.startswith("connect-src")
    ]
    (connect,) = (rule for rule in policy if rule.startswith("connect-src"))
    assert connect.startswith("connect-src 'self' wss://<")
    assert security["StrictTransportSecurity"]["AccessControlMaxAgeSec"] == 365 * 86_400
    assert "wss://live.example.com" in json.dumps(full.one("AWS::CloudFront::ResponseHeadersPolicy"))


def test_a_domain_of_its_own(full: Assembly) -> None:
    """With its certificate, a web ACL if one is named, modern TLS, and logs of access in prod."""
    config = full.one("AWS::CloudFront::Distribution")["DistributionConfig"]
    assert config["Aliases"] == ["console.example.com"]
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert config["WebACLId"].startswith("arn:aws:wafv2")
    assert config["Logging"]["Prefix"] == "console/"
    assert full.outputs("console")["ConsoleUrl"] == "https://console.example.com"
    assert set(full.outputs("console")) == {"ConsoleUrl", "ConsoleBucket", "DistributionId"}


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node to try CloudFront's function with")
def test_which_file_answers_a_path() -> None:
    """Views are the page, files are themselves, and a page of the documents is its folder's index."""
    paths = {
        "/": "/index.html",
        "/runs/01a1": "/index.html",
        "/assets/index-1.js": "/assets/index-1.js",
        "/favicon.svg": "/favicon.svg",
        "/docs": "to /docs/",
        "/docs/": "/docs/index.html",
        "/docs/nodes/json.parse/": "/docs/nodes/json.parse/index.html",
        "/docs/search.json": "/docs/search.json",
    }
    program = f"""{VIEWS}
    const answers = {json.dumps(list(paths))}.map((uri) => handler({{request: {{uri}}}}));
    console.log(JSON.stringify(answers.map((one) => one.uri ?? "to " + one.headers.location.value)));"""
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == list(paths.values())
