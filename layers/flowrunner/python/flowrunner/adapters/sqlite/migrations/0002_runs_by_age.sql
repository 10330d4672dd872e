-- Runs are listed newest first by the moment of their creation: some ids are hashes and say nothing about it.
CREATE INDEX runs_by_age ON runs (account, created_at DESC, id DESC);
CREATE INDEX runs_of_flow ON runs (account, flow, created_at DESC, id DESC);
