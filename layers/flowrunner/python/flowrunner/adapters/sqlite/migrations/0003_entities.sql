-- What people make and change: users, tokens, secrets, schedules, webhooks, deliveries and the like (ports.entities).
-- Bodies may be large, so the rows are not kept in the index of their names (no WITHOUT ROWID).
CREATE TABLE entities (
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body BLOB NOT NULL,
    rev INTEGER NOT NULL,
    lookup TEXT,
    due INTEGER,
    expires_at INTEGER,
    PRIMARY KEY (account, kind, id)
) STRICT;
CREATE UNIQUE INDEX entities_lookup ON entities (kind, lookup) WHERE lookup IS NOT NULL;
CREATE INDEX entities_due ON entities (kind, due, account, id) WHERE due IS NOT NULL;
CREATE INDEX entities_expiring ON entities (expires_at) WHERE expires_at IS NOT NULL;
