"""`python -m flowrunner`: the same as the command `flowrunner`."""

from flowrunner.cli.main import app

if __name__ == "__main__":
    app()
