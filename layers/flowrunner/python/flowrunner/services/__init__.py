"""What a user can ask for: accounts, flows, runs, secrets, triggers, webhooks, audit, usage.

A service takes the ports that it needs in its constructor, keeps no state of its own, and is called with the `Actor`
who asks: whoever adds a function decides there which `Permission` it needs. Errors are those of `errors`.
"""
