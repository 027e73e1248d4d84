-- The tables of the chat, for SQLite and PostgreSQL alike. `{...}` stands for what the two spell
-- differently: {key} a number that the database gives, {text} text ordered by its bytes,
-- {by_key} rows that lie in the order of their key. Times are Unix time in milliseconds.

CREATE TABLE users (
    id {key},
    name {text} NOT NULL,
    -- The name in lower case: names that differ by case alone are the same name.
    name_key {text} NOT NULL UNIQUE,
    password TEXT NOT NULL,
    admin BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE TABLE rooms (
    id {key},
    name {text} NOT NULL UNIQUE,
    title TEXT NOT NULL,
    -- Everyone may see and enter a public room, members alone a private one.
    public BIGINT NOT NULL,
    -- Made when somebody entered it, gone when the last has left.
    ephemeral BIGINT NOT NULL DEFAULT 0,
    -- Number of the newest event or message. Whoever writes one takes the next, and the row's
    -- lock keeps all writers of a room in one order.
    last_seq BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE INDEX rooms_public ON rooms (name) WHERE public = 1;

CREATE TABLE memberships (
    room_id BIGINT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    joined_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id)
) {by_key};
CREATE INDEX memberships_user ON memberships (user_id, room_id);

-- A message is named by its room and its number there, which is also the order it is read in.
CREATE TABLE messages (
    room_id BIGINT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    -- Who said it: a user, or a guest of that name with an identity of its own choice. Not a
    -- reference: words stay when an account goes, and to look for them all would read the table.
    user_id BIGINT,
    guest TEXT,
    guest_name TEXT,
    -- The client's own, so that what is sent again after a lost answer is not stored twice.
    key TEXT,
    content TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, seq)
) {by_key};
CREATE UNIQUE INDEX messages_user_key ON messages (user_id, key)
    WHERE user_id IS NOT NULL AND key IS NOT NULL;
CREATE UNIQUE INDEX messages_guest_key ON messages (guest, key)
    WHERE guest IS NOT NULL AND key IS NOT NULL;

CREATE TABLE room_events (
    room_id BIGINT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (room_id, seq)
) {by_key};

CREATE TABLE direct_messages (
    id {key},
    from_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    to_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The same two, the smaller first, so that a conversation is one range of the index.
    low_id BIGINT NOT NULL,
    high_id BIGINT NOT NULL,
    key TEXT,
    content TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX direct_messages_pair ON direct_messages (low_id, high_id, id);
CREATE INDEX direct_messages_from ON direct_messages (from_id, id);
CREATE INDEX direct_messages_to ON direct_messages (to_id, id);
CREATE UNIQUE INDEX direct_messages_key ON direct_messages (from_id, key) WHERE key IS NOT NULL;

CREATE TABLE notifications (
    id {key},
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    priority BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    read_ms BIGINT
);
CREATE INDEX notifications_user ON notifications (user_id, id);
CREATE INDEX notifications_kind ON notifications (user_id, kind, id);
CREATE INDEX notifications_unread ON notifications (user_id, id) WHERE read_ms IS NULL;

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token, in hex: who reads the table cannot use it.
    hash TEXT PRIMARY KEY,
    -- All that came of one login.
    family TEXT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms BIGINT,
    revoked_ms BIGINT
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_ms);

CREATE TABLE uploads (
    id {key},
    -- SHA-256 of the content, in hex, which is also the file's name.
    hash TEXT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX uploads_user ON uploads (user_id, id);
CREATE INDEX uploads_hash ON uploads (hash);
