"""The command line. Commands parse, call and show; what they do lives elsewhere."""
