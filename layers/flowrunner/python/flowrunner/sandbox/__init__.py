"""Where the author's JavaScript runs: expressions and hooks, in worker processes that hold nothing worth stealing."""
