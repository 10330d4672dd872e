"""From a document to a compiled flow, with every problem of the document found on the way."""
