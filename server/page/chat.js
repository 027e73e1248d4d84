// The chat page: one WebSocket, several rooms, plain text only.
// In: what people type, and the protocol of /ws. Out: elements filled by textContent, so that
// nothing anyone says can become markup. Reconnects by itself and fetches what it has missed.

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const KEPT_PER_ROOM = 500; // older ones are taken off the screen
const NEAR_END_PX = 60; // who is nearer to the end than this is not reading above
const FIRST_ROOM = "lobby";

const element = (id) => document.getElementById(id);
const page = {
  state: element("state"), rooms: element("rooms"), roomName: element("room-name"),
  messages: element("messages"), newest: element("newest"), words: element("words"),
  send: element("send"), name: element("name"),
};
const own = new Set(); // ids of messages this page has sent
let socket = null;
let attempts = 0;
let retry = 0;
let current = FIRST_ROOM;
let rooms = new Map([[FIRST_ROOM, room()]]);

function room() {
  return { shown: [], seq: 0, unread: 0 };
}

function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* a private window keeps nothing */ }
}

function recall(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function say(state, text) {
  page.state.dataset.state = state;
  page.state.textContent = text;
  page.send.disabled = state !== "open";
}

function connect() {
  clearTimeout(retry);
  say("connecting", attempts ? "connecting again…" : "connecting…");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws?room=${encodeURIComponent(current)}`);
  socket.addEventListener("open", opened);
  socket.addEventListener("message", (event) => received(event.data));
  socket.addEventListener("close", closed);
}

function opened() {
  attempts = 0;
  say("open", "connected");
  for (const name of rooms.keys()) {
    if (name !== current) transmit({ type: "join", room: name });
    catchUp(name);
  }
}

function closed(event) {
  // Full jitter: a server that comes back is not met by everyone at once.
  const most = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempts);
  const wait = BACKOFF_FIRST_MS / 2 + Math.random() * most;
  attempts += 1;
  const why = event.reason ? ` (${event.reason})` : "";
  say("closed", `not connected${why}, trying again in ${Math.ceil(wait / 1000)} s`);
  retry = setTimeout(connect, wait);
}

async function catchUp(name) {
  try {
    const reply = await fetch(`/api/v1/rooms/${encodeURIComponent(name)}/messages`);
    if (!reply.ok) return;
    for (const message of (await reply.json()).messages) show(message);
  } catch { /* the next connection tries again */ }
}

function transmit(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function received(text) {
  let message;
  try { message = JSON.parse(text); } catch { return; }
  if (message === null || typeof message !== "object") return;
  show(message);
}

function show(message) {
  const name = rooms.has(message.room) ? message.room : current;
  const entry = rooms.get(name);
  if (message.type === "user" && !message.to) {
    if (message.seq <= entry.seq) {
      // Either fetched and delivered both, or the room began anew.
      if (entry.shown.some((shown) => shown.key === key(message))) return;
    }
    entry.seq = message.seq;
  }
  const item = { key: key(message), node: draw(message) };
  entry.shown.push(item);
  const old = entry.shown.splice(0, Math.max(0, entry.shown.length - KEPT_PER_ROOM));
  if (name === current) {
    for (const gone of old) gone.node.remove();
    append(item.node);
  } else {
    entry.unread += 1;
    drawRooms();
  }
}

function key(message) {
  return `${message.seq} ${JSON.stringify(message.id ?? message.timestamp)}`;
}

function draw(message) {
  const node = document.createElement("li");
  const mine = message.type === "user" && own.has(message.id);
  node.className = mine ? "own" : message.type;
  if (message.type === "user") {
    const head = document.createElement("span");
    head.className = "head";
    const at = new Date(message.timestamp);
    const time = Number.isNaN(at.valueOf()) ? "" : at.toLocaleTimeString();
    const who = mine ? "you" : String(message.username ?? "somebody");
    head.textContent = `${who}${message.to ? ` to ${message.to}` : ""} ${time}`;
    node.append(head);
  }
  node.append(document.createTextNode(String(message.content ?? "")));
  return node;
}

function append(node) {
  const list = page.messages;
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
  list.append(node);
  if (atEnd || node.className === "own") toNewest();
  else page.newest.hidden = false;
}

function toNewest() {
  page.messages.scrollTop = page.messages.scrollHeight;
  page.newest.hidden = true;
}

function enter(name) {
  if (!rooms.has(name)) {
    rooms.set(name, room());
    if (transmit({ type: "join", room: name })) catchUp(name);
  }
  current = name;
  const entry = rooms.get(name);
  entry.unread = 0;
  page.roomName.textContent = name;
  page.messages.replaceChildren(...entry.shown.map((item) => item.node));
  toNewest();
  drawRooms();
}

function drawRooms() {
  page.rooms.replaceChildren(...[...rooms].map(([name, { unread }]) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = unread ? `${name} (${unread} new)` : name;
    if (name === current) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => { enter(name); page.words.focus(); });
    item.append(button);
    return item;
  }));
}

function submit() {
  const content = page.words.value.trim();
  if (!content) return;
  // Not crypto.randomUUID: it is missing on pages that come over plain HTTP from another machine.
  const id = [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("-");
  const username = page.name.value.trim() || undefined;
  own.add(id);
  if (own.size > 2 * KEPT_PER_ROOM) own.delete(own.values().next().value);
  if (!transmit({ type: "user", content, id, room: current, username })) return;
  page.words.value = "";
  grow();
}

function grow() {
  const lines = page.words.value.split("\n").length;
  page.words.rows = Math.min(6, lines);
}

element("words-form").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
page.words.addEventListener("input", grow);
page.words.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
element("name-form").addEventListener("submit", (event) => event.preventDefault());
page.name.addEventListener("change", () => remember("name", page.name.value));
element("room-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element("room").value.trim();
  if (name) enter(name);
  element("room").value = "";
});
page.newest.addEventListener("click", toNewest);
page.messages.addEventListener("scroll", () => {
  const list = page.messages;
  if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX) page.newest.hidden = true;
});
window.addEventListener("online", () => { if (socket?.readyState === WebSocket.CLOSED) connect(); });

page.name.value = recall("name") ?? "";
drawRooms();
connect();
