"""Flowrunner: a workflow engine for an AWS account, a server or a laptop."""

__version__ = "0.1.0"
