"""The Lambda functions: each translates an event, calls what it is about, and answers as Lambda wants it.

`functions/<name>/handler.py` at the project's root wires one of them while the process starts, without a word to AWS.
"""
