-- When the first message becomes visible: the first of each priority.
WITH RECURSIVE priorities (priority) AS (
    (SELECT min(priority) FROM flowrunner.queue)
    UNION ALL
    SELECT (SELECT min(q.priority) FROM flowrunner.queue q WHERE q.priority > p.priority)
    FROM priorities p
    WHERE p.priority IS NOT NULL
)
SELECT min((SELECT min(q.visible_at) FROM flowrunner.queue q WHERE q.priority = p.priority)) FROM priorities p
