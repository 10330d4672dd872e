-- Counting the runs that are under way (ports.history, `count`). A commit that leaves the status alone stays a HOT update.
CREATE INDEX runs_by_status ON flowrunner.runs (account, status, flow);
