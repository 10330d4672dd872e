-- What steps under way tell so far: new bodies for rows that run under the claim of who reports.
WITH written AS (
    UPDATE flowrunner.steps s
    SET body = w.body
    FROM unnest(%(account)s, %(run)s, %(at_rev)s, %(at_index)s, %(item)s, %(attempt)s, %(owner)s, %(body)s)
        AS w (account, run, at_rev, at_index, item, attempt, owner, body)
    WHERE s.account = w.account AND s.run = w.run AND s.at_rev = w.at_rev AND s.at_index = w.at_index
      AND s.item = w.item AND s.attempt = w.attempt AND s.owner = w.owner AND s.claims > 0 AND s.status = 'running'
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM written),
    (SELECT count(pg_notify(%(channel)s, t.topic)) FROM unnest(%(tell)s) AS t (topic)
     WHERE EXISTS (SELECT FROM written))
