"""Commands that talk to a server over HTTP. Each module declares the commands of one area and does their work."""
