-- The due messages by priority and then by time. The walk over priorities and the LATERAL read no more than they give,
-- whatever number of timers and leased messages there is; SKIP LOCKED keeps workers from waiting for each other.
WITH RECURSIVE priorities (priority) AS (
    (SELECT min(priority) FROM flowrunner.queue)
    UNION ALL
    SELECT (SELECT min(q.priority) FROM flowrunner.queue q WHERE q.priority > p.priority)
    FROM priorities p
    WHERE p.priority IS NOT NULL
),
due AS MATERIALIZED (
    SELECT d.*
    FROM priorities p
    CROSS JOIN LATERAL (
        SELECT q.account, q.run, q.step, q.attempt, q.priority, q.visible_at
        FROM flowrunner.queue q
        WHERE q.priority = p.priority AND q.visible_at <= %(now)s
        ORDER BY q.visible_at
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) d
    LIMIT %(limit)s
)
UPDATE flowrunner.queue q
SET visible_at = %(lease_until)s, owner = %(owner)s, receives = q.receives + 1
FROM due
WHERE q.account = due.account AND q.run = due.run AND q.step = due.step AND q.attempt = due.attempt
RETURNING due.priority, due.visible_at, q.account, q.run, q.step, q.attempt, q.receives
