-- Commits of different runs in one statement: one round trip and one wait for the disk.
--
-- `won` is the conditional write. Everything else hangs on it by `ord`, so that a commit that lost its race leaves no
-- trace and takes none of the others with it. Rows come sorted by account and run: whoever locks, locks in that order.
WITH wanted AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(account)s, %(run)s, %(expected_rev)s, %(rev)s, %(status)s, %(head)s, %(result)s, %(ended_at)s, %(reopened)s,
        %(revision)s
    ) WITH ORDINALITY AS w (account, run, expected_rev, rev, status, head, result, ended_at, reopened, revision, ord)
),
messages AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(m_ord)s, %(m_account)s, %(m_run)s, %(m_step)s, %(m_attempt)s, %(m_priority)s, %(m_visible_at)s, %(m_owner)s,
        %(m_receives)s
    ) AS m (ord, account, run, step, attempt, priority, visible_at, owner, receives)
),
won AS MATERIALIZED (
    UPDATE flowrunner.runs r
    SET rev = CASE WHEN w.head IS NULL THEN r.rev ELSE w.rev END,
        status = CASE WHEN w.head IS NULL THEN r.status ELSE w.status END,
        head = coalesce(w.head, r.head),
        revision = coalesce(w.revision, r.revision),
        result = CASE WHEN w.ended_at IS NOT NULL THEN w.result WHEN w.reopened THEN NULL ELSE r.result END,
        ended_at = CASE WHEN w.ended_at IS NOT NULL THEN w.ended_at WHEN w.reopened THEN NULL ELSE r.ended_at END
    FROM wanted w
    WHERE r.account = w.account AND r.id = w.run AND (w.head IS NULL OR r.rev = w.expected_rev)
    RETURNING w.ord, w.account, w.run, w.ended_at
),
-- A final row stays as it is, but for a revision that it lacks (ports.runs, the second rule).
journal AS (
    INSERT INTO flowrunner.steps AS s (
        account, run, at_rev, at_index, item, attempt, step, node, status, rev, body
    )
    SELECT won.account, won.run, n.at_rev, n.at_index, n.item, n.attempt, n.step, n.node, n.status, n.rev, n.body
    FROM unnest(
        %(s_ord)s, %(s_at_rev)s, %(s_at_index)s, %(s_item)s, %(s_attempt)s, %(s_step)s, %(s_node)s, %(s_status)s,
        %(s_rev)s, %(s_body)s
    ) AS n (ord, at_rev, at_index, item, attempt, step, node, status, rev, body)
    JOIN won ON won.ord = n.ord
    ON CONFLICT (account, run, at_rev, at_index, item, attempt) DO UPDATE
    SET rev = excluded.rev,
        node = CASE WHEN s.status IN ('running', 'waiting') THEN excluded.node ELSE s.node END,
        body = CASE WHEN s.status IN ('running', 'waiting') THEN excluded.body ELSE s.body END,
        status = CASE WHEN s.status IN ('running', 'waiting') THEN excluded.status ELSE s.status END
    WHERE s.status IN ('running', 'waiting') OR (s.rev = 0 AND excluded.rev <> 0)
),
acknowledged AS (
    DELETE FROM flowrunner.queue q
    USING unnest(%(a_ord)s, %(a_account)s, %(a_run)s, %(a_step)s, %(a_attempt)s) AS a (ord, account, run, step, attempt)
    JOIN won ON won.ord = a.ord
    WHERE q.account = a.account AND q.run = a.run AND q.step = a.step AND q.attempt = a.attempt
),
-- An ended run keeps no message but those that this very commit sends.
ended AS (
    DELETE FROM flowrunner.queue q
    USING won
    WHERE won.ended_at IS NOT NULL AND q.account = won.account AND q.run = won.run
      AND NOT EXISTS (
          SELECT FROM messages m
          WHERE m.account = q.account AND m.run = q.run AND m.step = q.step AND m.attempt = q.attempt
      )
),
sent AS (
    INSERT INTO flowrunner.queue (account, run, step, attempt, priority, visible_at, owner, receives)
    SELECT m.account, m.run, m.step, m.attempt, m.priority, m.visible_at, m.owner, m.receives
    FROM messages m
    JOIN won ON won.ord = m.ord
    -- What an ended run sends takes the place of what it had sent before; else what is there stays as it is.
    ON CONFLICT (account, run, step, attempt) DO UPDATE
    SET priority = excluded.priority, visible_at = excluded.visible_at, owner = excluded.owner,
        receives = excluded.receives
    WHERE EXISTS (
        SELECT FROM won e
        WHERE e.account = excluded.account AND e.run = excluded.run AND e.ended_at IS NOT NULL
    )
)
SELECT
    (SELECT coalesce(array_agg(won.ord), '{}') FROM won),
    (SELECT count(pg_notify(%(channel)s, t.topic)) FROM unnest(%(tell)s) AS t (topic) WHERE EXISTS (SELECT FROM won))
