-- First claims. What has a row already, or a run that is over, is left to the slower way that says why.
-- FOR KEY SHARE keeps the run from being deleted meanwhile and lets commits pass.
WITH live AS MATERIALIZED (
    SELECT c.*
    FROM unnest(
        %(account)s, %(run)s, %(at_rev)s, %(at_index)s, %(item)s, %(attempt)s, %(step)s, %(node)s, %(body)s,
        %(owner)s, %(lease_until)s
    ) AS c (account, run, at_rev, at_index, item, attempt, step, node, body, owner, lease_until)
    JOIN flowrunner.runs r ON r.account = c.account AND r.id = c.run
    WHERE r.status <> ALL (%(terminal)s)
    FOR KEY SHARE OF r
)
INSERT INTO flowrunner.steps (
    account, run, at_rev, at_index, item, attempt, step, node, status, rev, body, owner, lease_until, claims
)
SELECT account, run, at_rev, at_index, item, attempt, step, node, 'running', 0, body, owner, lease_until, 1
FROM live
ON CONFLICT DO NOTHING
RETURNING account, run, at_rev, at_index, item, attempt
