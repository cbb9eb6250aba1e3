-- Who gave a command, by the kernel's word, and at which terminal by the caller's: NULL where it did not come
-- over the unix socket.
ALTER TABLE control_actions ADD COLUMN uid BIGINT;
ALTER TABLE control_actions ADD COLUMN terminal TEXT NOT NULL DEFAULT '';
