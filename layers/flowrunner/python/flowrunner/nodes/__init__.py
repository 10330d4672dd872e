"""The node library: one node type per file, all made with the contract in `base`."""
