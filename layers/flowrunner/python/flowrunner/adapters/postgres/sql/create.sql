-- New runs with their first messages. A run that exists is left alone, and its messages are not sent.
WITH made AS MATERIALIZED (
    INSERT INTO flowrunner.runs (
        account, id, flow, revision, flow_name, priority, created_at, body, rev, status, head, result, ended_at
    )
    SELECT *
    FROM unnest(
        %(account)s, %(id)s, %(flow)s, %(revision)s, %(flow_name)s, %(priority)s, %(created_at)s, %(body)s, %(rev)s,
        %(status)s, %(head)s, %(result)s, %(ended_at)s
    )
    ON CONFLICT DO NOTHING
    RETURNING account, id, created_at
),
sent AS (
    INSERT INTO flowrunner.queue (account, run, step, attempt, priority, visible_at, owner, receives)
    SELECT
        m.account, m.run, m.step, m.attempt, m.priority,
        CASE WHEN m.due <= made.created_at THEN greatest(m.due, %(lease_until)s) ELSE m.due END,
        CASE WHEN m.due <= made.created_at THEN %(owner)s ELSE '' END,
        CASE WHEN m.due <= made.created_at AND %(owner)s <> '' THEN 1 ELSE 0 END
    FROM unnest(%(m_account)s, %(m_run)s, %(m_step)s, %(m_attempt)s, %(m_priority)s, %(m_due)s)
        AS m (account, run, step, attempt, priority, due)
    JOIN made ON made.account = m.account AND made.id = m.run
    ON CONFLICT DO NOTHING
)
SELECT made.account, made.id,
    (SELECT count(pg_notify(%(channel)s, t.topic)) FROM unnest(%(tell)s) AS t (topic))
FROM made
