"""The engine: it carries out what the core decides, over whatever backend it is given."""
