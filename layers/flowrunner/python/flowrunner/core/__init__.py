"""The pure core: it decides what happens next and does nothing else.

Two rules hold for every module here:

1. Nothing reads the world. No clock, no randomness, no store, no logging; `now`, ids and random draws come in as
   values, so the same call gives the same answer in Lambda, a worker, a simulation and a test.
2. A rejected event changes nothing. States are immutable; `decide` returns a new one or raises `Rejected`.
"""
