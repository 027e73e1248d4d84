// Fills the database of a server that has been started once: 500 authors, 100,000 messages.
import Database from "better-sqlite3";
const db = new Database(process.argv[2]);
const user = db.prepare(`INSERT INTO users (id, name, name_key, password, admin, created_ms,
  updated_ms) VALUES (?, ?, ?, '', 0, 0, 0)`);
const message = db.prepare(`INSERT INTO messages (room_id, seq, user_id, key, content, created_ms)
  VALUES (?, ?, ?, ?, ?, ?)`);
db.transaction(() => {
  const { id } = db.prepare("SELECT id FROM rooms WHERE name = 'lobby'").get();
  for (let n = 1; n <= 500; n += 1) user.run(n, `user${n}`, `user${n}`);
  for (let n = 1; n <= 100_000; n += 1) {
    const content = `message number ${n}, about as long as people write in a chat`;
    message.run(id, n, (n % 500) + 1, `key${n}`, content, 1_700_000_000_000 + n);
  }
  db.prepare("UPDATE rooms SET last_seq = 100000 WHERE id = ?").run(id);
})();
