"""Domains of one's own for the APIs. Their DNS record is made where their zone is: an alias to the output."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_certificatemanager as acm


def use_domain(
    stack: Stack, id: str, domain: str, certificate_arn: str, api: gateway.IApi, stage: gateway.IStage
) -> None:
    """Serve the stage under a domain; the output `<id>Target` says where its record must point."""
    name = gateway.DomainName(
        stack,
        id,
        domain_name=domain,
        certificate=acm.Certificate.from_certificate_arn(stack, f"{id}Certificate", certificate_arn),
        security_policy=gateway.SecurityPolicy.TLS_1_2,
    )
    mapping = gateway.ApiMapping(stack, f"{id}Mapping", api=api, domain_name=name, stage=stage)
    mapping.node.add_dependency(stage)
    CfnOutput(stack, f"{id}TargetOutput", value=name.regional_domain_name).override_logical_id(f"{id}Target")
