-- A run: what never changes, and how it ended.
CREATE TABLE runs (
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    flow TEXT NOT NULL,
    revision INTEGER NOT NULL,
    flow_name TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    result BLOB,
    ended_at INTEGER,
    PRIMARY KEY (account, id)
) STRICT;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;

-- Its head: rewritten with every commit, so it lives apart from the run's (possibly large) input.
CREATE TABLE heads (
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    status TEXT NOT NULL,
    head BLOB NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- One row an attempt, in the order in which steps are scheduled. Claims are columns, the rest is the body.
CREATE TABLE steps (
    account TEXT NOT NULL,
    run TEXT NOT NULL,
    at_rev INTEGER NOT NULL,
    at_index INTEGER NOT NULL,
    item INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step TEXT NOT NULL,
    node TEXT NOT NULL,
    status TEXT NOT NULL,
    rev INTEGER NOT NULL,
    body BLOB NOT NULL,
    owner TEXT,
    lease_until INTEGER,
    claims INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, run, at_rev, at_index, item, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX steps_committed ON steps (account, run, rev);

CREATE TABLE queue (
    account TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    owner TEXT NOT NULL,
    receives INTEGER NOT NULL,
    PRIMARY KEY (account, run, step, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_visible ON queue (priority, visible_at);

CREATE TABLE flows (
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account, id, revision)
) STRICT;
CREATE UNIQUE INDEX flows_name ON flows (account, name, revision);

CREATE TABLE blobs (
    account TEXT NOT NULL,
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (account, run, key)
) STRICT;

CREATE TABLE kv (
    account TEXT NOT NULL,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (account, namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kv_expires ON kv (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE callbacks (
    token_hash TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    payload BLOB,
    delivered INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX callbacks_step ON callbacks (account, run, step, attempt);

CREATE TABLE documents (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    rev INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;
