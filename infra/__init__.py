"""The deployment on AWS as CDK stacks. Imports nothing of flowrunner."""

import os

# The CDK runs in Node; it warns with each start of the versions that Debian has.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
