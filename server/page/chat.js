// The chat as this page knows it: conversations, what was missed, what is still to be sent.
// In: events and answers of the server, wishes of the person. Out: events for the views (`state`,
// `list`, `items`, `added`, `changed`, `removed`, `older`, `typing`, `people`, `notice`, ...).
// Each room is entered again after a lost connection, and asked for what was said meanwhile; what
// was sent and not answered is sent again under the same key, which the server keeps once.

import { account } from "./account.js";
import { Conversation } from "./conversation.js";
import { random, recall, remember } from "./dom.js";
import { authorId, historyPath, mentions, place, read } from "./message.js";
import { Connection } from "./sio.js";

const FIRST_ROOM = "lobby";
const PAGE = 50; // messages of history fetched at once
const SYNC_ROUNDS = 40; // then the newest page is fetched instead
const TYPING_EVERY_MS = 2_500;
const TYPING_ENDS_MS = 7_000; // when the server does not say so before
const OWN_KEYS = 400; // of messages that this browser has sent
const ROOMS_KEPT = 16; // to be entered again when the page is opened
const NOTIFICATIONS = "/notifications";

export class Chat extends EventTarget {
  conversations = new Map();
  current = null;
  /** @type {{name: string, reason?: string, wait?: number, attempts?: number}} */
  state = { name: "closed" };
  isWatched = () => true;
  #connection;
  #own = new Set(recall("own") ?? []);
  #typed = 0;
  #renewal = 0;
  #isGreeted = false;
  #refusals = 0;

  constructor() {
    super();
    const rooms = recall("rooms") ?? [FIRST_ROOM];
    for (const id of rooms) this.conversations.set(id, new Conversation(id, "room"));
    const last = recall("room");
    this.current = this.conversations.get(last) ?? this.conversations.values().next().value;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.#connection = new Connection({
      url: `${scheme}://${location.host}/socket.io/?EIO=4&transport=websocket`,
      namespaces: ["/", NOTIFICATIONS],
      credentials: () => account.credentials(),
      hear: {
        state: (name, detail) => this.#turned(name, detail),
        event: (namespace, name, data) => this.#heard(name, data),
        refused: (namespace, error) => this.#refused(namespace, error),
      },
    });
    window.addEventListener("online", () => this.#connection.wake());
    window.addEventListener("offline", () => this.#connection.lost());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#connection.wake();
      this.see(this.current);
    });
  }

  get isOpen() {
    return this.#connection.isOpen;
  }

  start() {
    this.#connection.connect();
  }

  /** Connects as who the account is now. */
  restart() {
    this.#connection.close();
    for (const one of [...this.conversations.values()].filter((one) => one.isDirect)) {
      this.conversations.delete(one.id);
    }
    if (!this.conversations.has(this.current?.id)) {
      this.current = this.conversations.values().next().value;
    }
    this.#tell("list");
    this.#tell("opened", { conversation: this.current });
    this.start();
  }

  wake() {
    this.#connection.wake();
  }

  /** Asks for something that has an answer. */
  request(name, data, options) {
    return this.#connection.request(name, data, options);
  }

  /** Shows a conversation. */
  open(id) {
    const conversation = this.conversations.get(id);
    if (!conversation || conversation === this.current) return;
    this.stopTyping();
    this.current = conversation;
    if (!conversation.isDirect) remember("room", id);
    this.#tell("opened", { conversation });
    this.see(conversation);
    if (this.isOpen && !conversation.isLoaded) this.#enter(conversation);
  }

  /** Enters a room, which may be a new one, and shows it. */
  async join(id) {
    if (!this.conversations.has(id)) {
      const conversation = new Conversation(id, "room");
      await this.request("room:join", { room: id });
      this.conversations.set(id, conversation);
      this.#keepRooms();
      this.#tell("list");
      this.#enter(conversation);
    }
    this.open(id);
  }

  /** Leaves a room, or closes a private conversation. */
  leave(id) {
    const conversation = this.conversations.get(id);
    if (!conversation || this.conversations.size === 1) return;
    if (!conversation.isDirect) this.#connection.emit("room:leave", { room: id });
    this.conversations.delete(id);
    this.#keepRooms();
    if (this.current === conversation) {
      this.current = this.conversations.values().next().value;
      this.#tell("opened", { conversation: this.current });
      this.see(this.current);
    }
    this.#tell("list");
  }

  /** The private conversation with somebody, begun if need be. */
  direct(name, room = this.current?.isDirect ? undefined : this.current?.id) {
    const id = `@${name}`;
    let conversation = this.conversations.get(id);
    if (!conversation) {
      conversation = new Conversation(id, "direct", name);
      conversation.via = room;
      conversation.isJoined = true;
      this.conversations.set(id, conversation);
      this.#tell("list");
      if (this.isOpen) this.#enter(conversation);
    }
    return conversation;
  }

  #keepRooms() {
    const rooms = [...this.conversations.values()].filter((one) => !one.isDirect);
    remember("rooms", rooms.map((one) => one.id).slice(0, ROOMS_KEPT));
  }

  // ---- what is said

  /** Sends a message, or keeps it until it can be sent. */
  send(content, conversation = this.current) {
    const key = random();
    this.#own.add(key);
    remember("own", [...this.#own].slice(-OWN_KEYS));
    const item = {
      kind: "said", author: account.name, content, at: Date.now(), key, isOwn: true,
      state: "pending",
    };
    conversation.insert(item);
    this.#typed = 0;
    this.#tell("added", { conversation, item });
    this.#transmit(conversation, item);
  }

  /** Sends what failed once more, under its old key. */
  resend(conversation, item) {
    item.state = "pending";
    delete item.error;
    this.#tell("changed", { conversation, item });
    this.#transmit(conversation, item);
  }

  discard(conversation, item) {
    conversation.remove(item);
    this.#tell("removed", { conversation, items: [item] });
  }

  async #transmit(conversation, item) {
    // What waits is sent when the room is entered again.
    if (!this.isOpen || !conversation.isJoined) return;
    const { id, title, via, isDirect } = conversation;
    const { content, key } = item;
    const [name, body] = isDirect
      ? ["message:direct", { to: title, room: via, content, key }]
      : ["message:send", { room: id, content, key }];
    try {
      const answer = await this.request(name, body);
      if (item.state) this.#settle(conversation, item, place(answer, isDirect));
    } catch (error) {
      if (!item.state || error.code === "lost") return;
      item.state = "failed";
      item.error = error.message;
      this.#tell("changed", { conversation, item });
    }
  }

  #settle(conversation, item, seq, at) {
    const there = seq !== undefined && conversation.find(seq);
    if (there && there !== item) {
      conversation.remove(item);
      this.#tell("removed", { conversation, items: [item] });
      return;
    }
    const moved = conversation.settle(item, seq, at);
    if (!conversation.isSyncing && seq > conversation.synced) conversation.synced = seq;
    this.#tell("changed", { conversation, item, moved });
  }

  /** Says to others in the room that something is being written. */
  type() {
    const now = Date.now();
    if (!this.current || this.current.isDirect || now - this.#typed < TYPING_EVERY_MS) return;
    this.#typed = now;
    this.#connection.emit("typing", { room: this.current.id, typing: true });
  }

  stopTyping() {
    if (!this.#typed) return;
    this.#typed = 0;
    this.#connection.emit("typing", { room: this.current.id, typing: false });
  }

  /** The person has seen everything in it. */
  see(conversation) {
    if (!conversation?.unread || document.hidden) return;
    conversation.unread = 0;
    conversation.mentions = 0;
    this.#tell("list");
  }

  // ---- what is heard

  #turned(name, detail) {
    this.state = { name, ...detail };
    for (const one of this.conversations.values()) if (!one.isDirect) one.isJoined = false;
    clearTimeout(this.#renewal);
    this.#tell("state");
    if (name !== "open") return;
    this.#refusals = 0;
    if (account.renewIn !== undefined) {
      this.#renewal = setTimeout(() => this.#renew(), account.renewIn);
    }
    for (const conversation of this.conversations.values()) this.#enter(conversation);
    this.#tell("connected");
  }

  /** Shows the server a new token before the old one ends. */
  async #renew() {
    try {
      await this.request("auth:renew", { token: await account.token() });
      this.#renewal = setTimeout(() => this.#renew(), Math.max(1_000, account.renewIn));
    } catch {
      // A new connection shows the new token; nothing is missed by it.
      if (this.isOpen) this.#connection.lost();
    }
  }

  async #refused(namespace, { message, data }) {
    // A guest may have no notifications, and still chat.
    if (namespace === NOTIFICATIONS) return;
    this.#connection.close();
    if (account.isSignedIn) {
      this.#refusals += 1;
      // A token that was just renewed and is refused again belongs to an account that has gone.
      if (this.#refusals > 1) account.forget();
      else await account.token(true).then(() => this.start(), () => {});
      return;
    }
    this.state = { name: "refused", reason: message };
    this.#tell("state");
    this.#tell("refused", { message, code: data?.code });
  }

  #heard(name, data) {
    const conversation = this.conversations.get(data.room);
    // What happens in a room has a number among what is said there.
    if (name !== "message:new" && conversation && !conversation.isSyncing
      && data.seq > conversation.synced) conversation.synced = data.seq;
    switch (name) {
      case "message:new":
        if (conversation) this.#accept(conversation, data);
        break;
      case "message:direct": this.#whispered(data); break;
      case "typing": this.#types(conversation, data); break;
      case "presence:online":
      case "presence:offline":
        if (conversation) this.#moved(conversation, data.user, name === "presence:online");
        break;
      case "room:created": this.#tell("rooms"); break;
      case "room:updated": this.#roomChanged(data.room, data); break;
      case "room:deleted": this.#roomGone(data.room?.id ?? data.room); break;
      case "user:updated": this.#tell("people", { conversation: this.current }); break;
      case "member:removed":
        if (conversation && data.user?.id === account.id) this.#putOut(conversation);
        break;
      case "notification:new":
        this.#tell("notification", { notifications: [data], unread: data.unread });
        break;
      case "notification:read": this.#tell("notification-read", data); break;
      case "notification:batch": this.#tell("notification", data); break;
      case "error":
        this.#tell("trouble", { message: data.message ?? "the server refused it" });
        break;
    }
  }

  #whispered(data) {
    const { author } = read(data, true);
    const other = this.#isOwn(data) ? String(data.to ?? author) : author;
    const conversation = this.direct(other, data.room);
    this.#accept(conversation, data);
  }

  #isOwn(data) {
    const author = authorId(data);
    if (account.id !== undefined && author !== undefined) return author === account.id;
    const { key } = data;
    return key !== undefined && this.#own.has(key);
  }

  /** A message, live or of what was missed. */
  #accept(conversation, data, { isHistory = false } = {}) {
    const isOwn = this.#isOwn(data);
    const said = read(data, conversation.isDirect, isOwn);
    const { seq, key, at, author } = said;
    const waiting = isOwn && conversation.pending(key);
    if (waiting) {
      this.#settle(conversation, waiting, seq, at);
      return;
    }
    // A private message that is not kept has no number to know it by.
    if (seq === undefined && key && conversation.items.some((one) => one.key === key)) return;
    if (!conversation.insert(said)) return;
    if (!conversation.isSyncing && seq > conversation.synced) conversation.synced = seq;
    this.#stopped(conversation, author);
    if (isHistory) return;
    this.#tell("added", { conversation, item: said });
    if (!isOwn) this.#unread(conversation, said);
  }

  #unread(conversation, item) {
    const isMention = mentions(item.content, account.name);
    const isSeen = conversation === this.current && !document.hidden && this.isWatched();
    if (isSeen) return;
    if (conversation.unread === 0) conversation.firstUnread = item;
    conversation.unread += 1;
    if (isMention || conversation.isDirect) conversation.mentions += 1;
    this.#tell("list");
    const isLoud = isMention || conversation.isDirect;
    const isCurrent = conversation === this.current;
    if (isLoud ? document.hidden || !isCurrent : document.hidden && isCurrent) {
      this.#tell("notice", { conversation, item, isLoud });
    }
  }

  #types(conversation, { user, typing }) {
    const name = user?.name;
    if (!conversation || !name || name === account.name) return;
    this.#stopped(conversation, name);
    if (typing) {
      const end = setTimeout(() => this.#stopped(conversation, name), TYPING_ENDS_MS);
      conversation.typing.set(name, end);
    }
    this.#tell("typing", { conversation });
  }

  #stopped(conversation, name) {
    if (!conversation.typing.has(name)) return;
    clearTimeout(conversation.typing.get(name));
    conversation.typing.delete(name);
    this.#tell("typing", { conversation });
  }

  #moved(conversation, user, isHere) {
    const others = conversation.people.users.filter((one) => one.name !== user?.name);
    conversation.people.users = isHere ? [...others, user] : others;
    if (!isHere) this.#stopped(conversation, user?.name);
    this.#tell("people", { conversation });
  }

  #roomChanged(room, data) {
    const conversation = this.conversations.get(room?.id ?? room);
    this.#tell("rooms");
    if (!conversation) return;
    const title = room?.title ?? data.title;
    if (!title || title === conversation.title) return;
    this.note(conversation, `The room is now “${title}”.`);
  }

  #roomGone(id) {
    this.#tell("rooms");
    const conversation = this.conversations.get(id);
    if (!conversation) return;
    conversation.isJoined = false;
    this.note(conversation, "This room has been deleted.");
  }

  #putOut(conversation) {
    conversation.isJoined = false;
    this.note(conversation, "You were put out of this room.");
  }

  /** A line of the page's own. */
  note(conversation, content) {
    const item = { kind: "system", content, at: Date.now() };
    conversation.insert(item);
    this.#tell("added", { conversation, item });
  }

  // ---- what was missed, and what was before

  /** After each connect: into the room, then what was missed, then what is still to be sent. */
  async #enter(conversation) {
    const isOf = this.#connection;
    try {
      if (conversation.isDirect) {
        if (account.isSignedIn) await this.#newest(conversation);
        // What guests say to each other alone is not kept.
        else conversation.hasOlder = false;
        conversation.isLoaded = true;
      } else {
        const { seq } = await this.request("room:join", { room: conversation.id });
        conversation.isJoined = true;
        await this.#catchUp(conversation, seq);
        this.#look(conversation);
        this.#greet(conversation);
      }
      if (isOf !== this.#connection) return;
      for (const item of conversation.items.filter((one) => one.state === "pending")) {
        this.#transmit(conversation, item);
      }
    } catch (error) {
      if (error.code === "lost") return;
      this.note(conversation, `This conversation cannot be opened: ${error.message}.`);
    }
  }

  #greet(conversation) {
    if (this.#isGreeted || conversation !== this.current) return;
    this.#isGreeted = true;
    this.note(conversation, `Welcome to ${conversation.label}, ${account.name}.`);
  }

  async #look(conversation) {
    try {
      conversation.people = await this.request("presence:list", { room: conversation.id });
      this.#tell("people", { conversation });
    } catch { /* the list is an extra */ }
  }

  async #catchUp(conversation, last) {
    if (last < conversation.synced) {
      // Its numbers begin again: the server keeps nothing over a restart, or the room is another.
      conversation.clear();
      this.note(conversation, "This room has begun anew.");
    }
    if (!conversation.isLoaded) {
      await this.#newest(conversation);
      conversation.synced = Math.max(conversation.newest, last ?? 0);
      return;
    }
    conversation.isSyncing = true;
    try {
      if (!(await this.#missed(conversation))) await this.#leap(conversation);
    } finally {
      conversation.isSyncing = false;
    }
    conversation.synced = Math.max(conversation.synced, conversation.newest, last ?? 0);
  }

  /** Fetches what was said since; false when it is too much or too old. */
  async #missed(conversation) {
    const { id } = conversation;
    let after = conversation.synced;
    for (let round = 0; round < SYNC_ROUNDS; round += 1) {
      const answer = await this.#sync(id, after);
      if (answer.too_old) return false;
      const events = answer.events ?? answer.messages ?? [];
      for (const one of events) this.#replayed(conversation, one);
      if (!answer.more) return true;
      const last = events.at(-1);
      const next = last ? last.seq ?? last.data?.seq : conversation.newest;
      if (!(next > after)) return false;
      after = next;
      conversation.synced = after;
    }
    return false;
  }

  async #sync(room, after) {
    try {
      return await this.request("sync", { room, after });
    } catch (error) {
      if (error.code !== "unknown_event") throw error;
      // The same over REST, for a server that is older than this page.
      const path = `/rooms/${encodeURIComponent(room)}/events?after=${after}&limit=100`;
      return account.call("GET", path);
    }
  }

  #replayed(conversation, event) {
    const data = event.data ?? event.body ?? event;
    const name = event.event ?? event.kind ?? "message:new";
    if (name === "message:new") this.#accept(conversation, data);
    else this.#heard(name, data);
  }

  /** The gap cannot be filled: say so, and go on with the newest. */
  async #leap(conversation) {
    conversation.clear();
    await this.#newest(conversation);
    const before = (conversation.oldest ?? 1) - 1;
    conversation.insert({
      kind: "system", at: Date.now(), anchor: before,
      content: "You were away too long for everything in between to be sent again. "
        + "Below are the newest messages; older ones come when you scroll up.",
    });
    this.#tell("items", { conversation });
  }

  /** The newest page. */
  async #newest(conversation) {
    const { messages, next } = await account.call("GET", historyPath(conversation, PAGE));
    for (const one of messages) this.#accept(conversation, one, { isHistory: true });
    this.#paged(conversation, messages, next);
    conversation.isLoaded = true;
    this.#tell("items", { conversation });
  }

  /** The page before; gives the items that came. */
  async older(conversation) {
    if (!conversation.hasOlder || conversation.isLoading || !conversation.isLoaded) return;
    conversation.isLoading = true;
    const there = new Set(conversation.items);
    try {
      const before = conversation.cursor ?? conversation.oldest;
      const path = historyPath(conversation, PAGE, before);
      const { messages, next } = await account.call("GET", path);
      for (const one of messages) this.#accept(conversation, one, { isHistory: true });
      const items = conversation.items.filter((one) => !there.has(one));
      this.#paged(conversation, items, next);
      this.#tell("older", { conversation, items });
    } catch (error) {
      this.#tell("trouble", { message: `older messages: ${error.message}` });
    } finally {
      conversation.isLoading = false;
    }
  }

  #paged(conversation, page, next) {
    conversation.cursor = next ?? null;
    // A server that gives no cursor is asked until nothing comes.
    conversation.hasOlder = next === undefined ? page.length > 0 : next !== null;
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
