-- Of each of the next accounts the message that has been visible for longest. The walk over accounts and the LATERAL read
-- one entry of an index each; SKIP LOCKED keeps workers from waiting for each other. All accounts that were looked at
-- come back, so that the next look goes on after the last of them.
WITH RECURSIVE accounts (account, nth) AS (
    (SELECT min(q.account), 1 FROM flowrunner.queue q WHERE q.account > %(after)s)
    UNION ALL
    SELECT (SELECT min(q.account) FROM flowrunner.queue q WHERE q.account > a.account), a.nth + 1
    FROM accounts a
    WHERE a.account IS NOT NULL AND a.nth < %(limit)s
),
due AS MATERIALIZED (
    SELECT d.*
    FROM accounts a
    CROSS JOIN LATERAL (
        SELECT q.account, q.run, q.step, q.attempt
        FROM flowrunner.queue q
        WHERE q.account = a.account AND q.visible_at <= %(now)s
        ORDER BY q.visible_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) d
),
leased AS (
    UPDATE flowrunner.queue q
    SET visible_at = %(lease_until)s, owner = %(owner)s, receives = q.receives + 1
    FROM due
    WHERE q.account = due.account AND q.run = due.run AND q.step = due.step AND q.attempt = due.attempt
    RETURNING q.account, q.run, q.step, q.attempt, q.receives
)
SELECT a.account, l.run, l.step, l.attempt, l.receives
FROM accounts a
LEFT JOIN leased l ON l.account = a.account
WHERE a.account IS NOT NULL
ORDER BY a.account
