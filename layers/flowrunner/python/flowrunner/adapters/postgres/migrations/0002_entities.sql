-- What people make and change: users, tokens, secrets, schedules, webhooks, deliveries and the like (ports.entities).
CREATE TABLE flowrunner.entities (
    account text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    rev bigint NOT NULL,
    lookup text COLLATE "C",
    due bigint,
    expires_at bigint,
    PRIMARY KEY (account, kind, id)
);

CREATE UNIQUE INDEX entities_lookup ON flowrunner.entities (kind, lookup) WHERE lookup IS NOT NULL;
CREATE INDEX entities_due ON flowrunner.entities (kind, due, account, id) WHERE due IS NOT NULL;
CREATE INDEX entities_expiring ON flowrunner.entities (expires_at) WHERE expires_at IS NOT NULL;
