"""What the engine needs of the world, as small Protocols. Adapters implement them; the contract suites hold them.

Every method that touches data takes the account: there is no call without it. Times are `Millis` since the epoch and
are always given by the caller, so that a test can turn the clock.
"""
