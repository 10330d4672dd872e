-- What of an account has been visible for longest, for looking at accounts in turn (ports.queue, `receive_in_turn`).
CREATE INDEX queue_turns ON flowrunner.queue (account, visible_at);
-- The first message of all is the first of a priority (queue_due).
DROP INDEX flowrunner.queue_next;
