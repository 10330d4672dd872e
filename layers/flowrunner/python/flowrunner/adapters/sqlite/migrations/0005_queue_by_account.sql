-- What of an account has been visible for longest, for looking at accounts in turn (ports.queue, `receive_in_turn`).
CREATE INDEX queue_turns ON queue (account, visible_at);
