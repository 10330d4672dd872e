-- The tables of flowrunner, in a schema of their own so that a database can be shared with other things.
--
-- Text is compared by code points (COLLATE "C") whatever the database's locale is: cursors and prefixes depend on it.
-- Times are milliseconds since the epoch, given by the program and never by the server's clock.

CREATE TABLE flowrunner.flows (
    account text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    revision integer NOT NULL,
    document text NOT NULL,
    hash text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (account, name, revision),
    UNIQUE (account, id, revision)
);

-- The room on each page lets the head move from revision to revision without touching an index (a HOT update).
CREATE TABLE flowrunner.runs (
    account text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    revision integer NOT NULL,
    flow_name text NOT NULL,
    priority smallint NOT NULL,
    created_at bigint NOT NULL,
    body bytea NOT NULL,
    rev bigint NOT NULL,
    status text NOT NULL,
    head bytea NOT NULL,
    result bytea,
    ended_at bigint,
    PRIMARY KEY (account, id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX runs_by_age ON flowrunner.runs (account, created_at DESC, id DESC);
CREATE INDEX runs_of_flow ON flowrunner.runs (account, flow, created_at DESC, id DESC);
CREATE INDEX runs_ended ON flowrunner.runs (ended_at) WHERE ended_at IS NOT NULL;

-- One row per attempt. (at_rev, at_index, item) are the step id taken apart, which sorts as steps were scheduled.
CREATE TABLE flowrunner.steps (
    account text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    at_rev bigint NOT NULL,
    at_index integer NOT NULL,
    item integer NOT NULL,
    attempt integer NOT NULL,
    step text NOT NULL,
    node text NOT NULL,
    status text NOT NULL,
    rev bigint NOT NULL,
    body bytea NOT NULL,
    owner text NOT NULL DEFAULT '',
    lease_until bigint NOT NULL DEFAULT 0,
    claims integer NOT NULL DEFAULT 0,
    PRIMARY KEY (account, run, at_rev, at_index, item, attempt)
);

CREATE INDEX steps_committed ON flowrunner.steps (account, run, rev);
CREATE INDEX steps_open ON flowrunner.steps (account, run) WHERE status IN ('running', 'waiting');

-- A lease is nothing but a later visible_at. Rows come and go all the time, so dead ones are removed early.
CREATE TABLE flowrunner.queue (
    account text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    priority smallint NOT NULL,
    visible_at bigint NOT NULL,
    owner text NOT NULL DEFAULT '',
    receives integer NOT NULL DEFAULT 0,
    PRIMARY KEY (account, run, step, attempt)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

CREATE INDEX queue_due ON flowrunner.queue (priority, visible_at);
CREATE INDEX queue_next ON flowrunner.queue (visible_at);

CREATE TABLE flowrunner.blobs (
    account text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (account, run, key)
);

CREATE TABLE flowrunner.kv (
    account text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    expires_at bigint,
    PRIMARY KEY (account, namespace, key)
);

CREATE INDEX kv_expiring ON flowrunner.kv (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE flowrunner.callbacks (
    token_hash text COLLATE "C" PRIMARY KEY,
    account text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    created_at bigint NOT NULL,
    payload bytea NOT NULL,
    delivered boolean NOT NULL,
    UNIQUE (account, run, step, attempt)
);

CREATE TABLE flowrunner.documents (
    account text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    rev bigint NOT NULL,
    PRIMARY KEY (account, key)
);
