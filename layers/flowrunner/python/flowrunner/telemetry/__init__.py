"""What operators see of a running process: logs, metrics and traces of runs and requests.

It observes the engine (`engine.watch`) and is called by what is above it; nothing below knows of it.
"""
