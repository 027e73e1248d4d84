-- Pictures and small ones of them, and who may see what was uploaded.

ALTER TABLE uploads ADD COLUMN width BIGINT;
ALTER TABLE uploads ADD COLUMN height BIGINT;
-- Of the small picture: `none` is to be made, `waiting`, `made`, `failed`.
ALTER TABLE uploads ADD COLUMN small TEXT NOT NULL DEFAULT 'none';
ALTER TABLE uploads ADD COLUMN small_tries BIGINT NOT NULL DEFAULT 0;
-- Not to be tried before.
ALTER TABLE uploads ADD COLUMN small_after_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX uploads_waiting ON uploads (small_after_ms, id) WHERE small = 'waiting';

-- A file that was named in a message by who had sent it is for whoever may read the message.
CREATE TABLE upload_rooms (
    upload_id BIGINT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    room_id BIGINT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    PRIMARY KEY (upload_id, room_id)
) {by_key};
CREATE INDEX upload_rooms_room ON upload_rooms (room_id);

CREATE TABLE upload_users (
    upload_id BIGINT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (upload_id, user_id)
) {by_key};
CREATE INDEX upload_users_user ON upload_users (user_id);
