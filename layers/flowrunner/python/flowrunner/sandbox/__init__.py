"""Where the author's JavaScript runs: in worker processes that hold nothing worth stealing."""
