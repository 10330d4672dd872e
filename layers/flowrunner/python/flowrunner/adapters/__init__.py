"""What the ports are made of. Adapters know nothing of each other; `bootstrap` chooses among them."""
