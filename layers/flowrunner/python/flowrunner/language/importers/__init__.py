"""Flows of other engines, brought along: one importer per format."""
