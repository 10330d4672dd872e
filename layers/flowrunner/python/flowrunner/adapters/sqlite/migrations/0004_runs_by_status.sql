-- Counting the runs that are under way (ports.history, `count`).
CREATE INDEX heads_by_status ON heads (account, status);
