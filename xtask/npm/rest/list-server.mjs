// The list of a room's messages, as one writes it with Express and better-sqlite3.
import express from "express";
import Database from "better-sqlite3";
const db = new Database(process.argv[2], { readonly: true });
db.pragma("cache_size = -4096");
const findRoom = db.prepare(`SELECT r.id, r.name, r.public, m.role FROM rooms r
  LEFT JOIN memberships m ON m.room_id = r.id AND m.user_id = ? WHERE r.name = ?`);
const list = db.prepare(`SELECT m.room_id, m.seq, m.created_ms, m.user_id,
  COALESCE(u.name, m.guest_name, '') AS name, m.key, m.content FROM messages m
  LEFT JOIN users u ON u.id = m.user_id
  WHERE m.room_id = ? AND m.seq < ? ORDER BY m.seq DESC LIMIT ?`);
const app = express();
app.disable("x-powered-by");
app.set("etag", false);
app.get("/api/v1/rooms/:room/messages", (request, response) => {
  const room = findRoom.get(0, request.params.room);
  if (!room || (!room.public && !room.role)) return response.status(404).json({ status: 404 });
  const limit = Math.min(Math.max(Number(request.query.limit ?? 50), 1), 100);
  const before = Number(request.query.before ?? Number.MAX_SAFE_INTEGER);
  const rows = list.all(room.id, before, limit).reverse();
  const messages = rows.map((row) => ({
    type: "user", id: `${row.room_id}-${row.seq}`, room: room.name, seq: row.seq,
    content: row.content, username: row.name,
    user: row.user_id === null ? null : { id: row.user_id, name: row.name },
    key: row.key ?? undefined, timestamp: row.created_ms,
  }));
  response.json({ messages, next: rows.length < limit ? null : rows[0].seq });
});
const server = app.listen(Number(process.argv[3]), "127.0.0.1", () => console.log(`serving http://127.0.0.1:${server.address().port}`));
