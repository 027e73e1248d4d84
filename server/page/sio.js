// Socket.IO (protocol 5) over Engine.IO (protocol 4): the client's end, as much as this page needs.
// In: what to connect to and as whom. Out: a connection that comes back by itself, events in
// order, answers as promises.
// Left out: long polling and the upgrade from it (a WebSocket is opened at once), bytes beside
// JSON (an event that carries some arrives without them), connection state recovery (the page asks
// with `sync` for what it missed), buffering while away (the page has an outbox of its own).

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const OPEN_TIMEOUT_MS = 10_000; // for the WebSocket, and for the namespaces after it
const ANSWER_TIMEOUT_MS = 10_000;
const HEARTBEAT_MS = 60_000; // until the server has said what it keeps to

// Engine.IO's packets are a digit and a body; Socket.IO's stand in its messages.
const ENGINE = { open: "0", close: "1", ping: "2", pong: "3", message: "4" };
const PACKET = { connect: 0, disconnect: 1, event: 2, ack: 3, refused: 4, bytes: 5, bytesAck: 6 };

/** Why something asked of the server was not answered. */
export class Unanswered extends Error {
  /** @param {string} code `lost`, `timeout`, or the server's own word */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Text of a Socket.IO packet. */
export function encode(type, namespace, id, data) {
  const space = namespace === "/" ? "" : `${namespace},`;
  return `${type}${space}${id ?? ""}${data === undefined ? "" : JSON.stringify(data)}`;
}

/** A Socket.IO packet from its text; null when it is none. */
export function decode(text) {
  const parts = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*),)?(\d+)?/.exec(text);
  if (!parts) return null;
  const [head, type, , namespace = "/", id] = parts;
  const rest = text.slice(head.length);
  try {
    const data = rest ? JSON.parse(rest) : undefined;
    return { type: Number(type), namespace, id: id === undefined ? undefined : Number(id), data };
  } catch {
    return null;
  }
}

export class Connection {
  #url;
  #namespaces;
  #credentials;
  #hear;
  #socket = null;
  #joined = new Set();
  #waiting = new Map(); // answers by their number
  #nextId = 0;
  #attempts = 0;
  #timer = 0;
  #pulse = 0;
  #silence = HEARTBEAT_MS;
  #wanted = false;
  #attempt = 0; // which of all; an older one that is still under way has no say
  #state = "closed";

  /**
   * @param {object} options
   * @param {string} options.url of the WebSocket
   * @param {string[]} options.namespaces all are entered; open is said when the first is
   * @param {() => Promise<object>} options.credentials asked for before each connect
   * @param {object} options.hear `state(name, detail)`, `event(namespace, name, data)`,
   *   `refused(namespace, error)`
   */
  constructor({ url, namespaces, credentials, hear }) {
    this.#url = url;
    this.#namespaces = namespaces;
    this.#credentials = credentials;
    this.#hear = hear;
  }

  get isOpen() {
    return this.#state === "open";
  }

  /** Connects, and from now on again whenever the connection is lost. */
  connect() {
    this.#wanted = true;
    this.#attempts = 0;
    if (!this.#socket) this.#open();
  }

  /** Does not wait for the next attempt, if one is waited for. */
  wake() {
    if (this.#wanted && this.#state === "waiting") this.#open();
  }

  /** The network is known to have gone: not even a goodbye gets through. */
  lost() {
    if (this.#socket) this.#end(this.#socket, "network lost");
  }

  /** Ends it for good, or until the next `connect`. */
  close() {
    this.#wanted = false;
    const socket = this.#socket;
    if (socket?.readyState === WebSocket.OPEN) {
      this.#write(socket, ENGINE.message + encode(PACKET.disconnect, "/"));
    }
    if (socket) this.#end(socket, "closed");
    clearTimeout(this.#timer);
    this.#say("closed");
  }

  /** Sends an event that nobody answers; false when there is no connection. */
  emit(name, data, namespace = "/") {
    return this.#send(encode(PACKET.event, namespace, undefined, [name, data]), namespace);
  }

  /** Sends an event and waits for its answer. */
  request(name, data, { namespace = "/", timeout = ANSWER_TIMEOUT_MS } = {}) {
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      if (!this.#send(encode(PACKET.event, namespace, id, [name, data]), namespace)) {
        reject(new Unanswered("lost", "not connected"));
        return;
      }
      const late = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Unanswered("timeout", "the server did not answer in time"));
      }, timeout);
      this.#waiting.set(id, { resolve, reject, late });
    });
  }

  #say(state, detail = {}) {
    this.#state = state;
    this.#hear.state(state, detail);
  }

  async #open() {
    clearTimeout(this.#timer);
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#say("connecting", { attempts: this.#attempts });
    const isOver = () => attempt !== this.#attempt || !this.#wanted || this.#socket;
    let auth;
    try {
      auth = await this.#credentials();
    } catch (error) {
      if (!isOver()) this.#retry(error.message);
      return;
    }
    if (isOver()) return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#end(socket, "no answer"), OPEN_TIMEOUT_MS);
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket && typeof data === "string") this.#read(socket, data, auth);
    });
    socket.addEventListener("close", ({ reason }) => this.#end(socket, reason));
  }

  #read(socket, text, auth) {
    this.#feel(socket);
    switch (text[0]) {
      case ENGINE.open: {
        const { pingInterval, pingTimeout } = JSON.parse(text.slice(1));
        this.#silence = pingInterval + pingTimeout;
        for (const namespace of this.#namespaces) {
          const packet = encode(PACKET.connect, namespace, undefined, auth);
          this.#write(socket, ENGINE.message + packet);
        }
        break;
      }
      case ENGINE.ping:
        this.#write(socket, ENGINE.pong);
        break;
      case ENGINE.message: {
        const packet = decode(text.slice(1));
        if (packet) this.#obey(socket, packet);
        break;
      }
      case ENGINE.close:
        this.#end(socket, "closed by the server");
        break;
    }
  }

  #obey(socket, { type, namespace, id, data }) {
    switch (type) {
      case PACKET.connect:
        this.#joined.add(namespace);
        if (namespace !== this.#namespaces[0]) break;
        clearTimeout(this.#timer);
        this.#attempts = 0;
        this.#say("open");
        break;
      case PACKET.event:
      case PACKET.bytes:
        if (Array.isArray(data)) this.#hear.event(namespace, data[0], data[1] ?? {});
        break;
      case PACKET.ack:
      case PACKET.bytesAck:
        this.#settle(id, Array.isArray(data) ? data[0] : undefined);
        break;
      case PACKET.refused:
        this.#hear.refused(namespace, data ?? {});
        break;
      case PACKET.disconnect:
        this.#joined.delete(namespace);
        // Without the first there is nothing to stay for.
        if (namespace === this.#namespaces[0]) this.#end(socket, "closed by the server");
        break;
    }
  }

  #settle(id, value) {
    const waiter = this.#waiting.get(id);
    if (!waiter) return;
    this.#waiting.delete(id);
    clearTimeout(waiter.late);
    const error = value?.error;
    if (error) waiter.reject(new Unanswered(error.code ?? "refused", error.message ?? "refused"));
    else waiter.resolve(value ?? {});
  }

  /** Something was heard: the other end is alive. */
  #feel(socket) {
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => this.#end(socket, "the server fell silent"), this.#silence);
  }

  #send(packet, namespace) {
    if (!this.#socket || !this.#joined.has(namespace)) return false;
    return this.#write(this.#socket, ENGINE.message + packet);
  }

  #write(socket, text) {
    if (socket.readyState !== WebSocket.OPEN) return false;
    socket.send(text);
    return true;
  }

  #end(socket, reason) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#joined.clear();
    clearTimeout(this.#pulse);
    clearTimeout(this.#timer);
    socket.close();
    for (const { reject, late } of this.#waiting.values()) {
      clearTimeout(late);
      reject(new Unanswered("lost", "the connection was lost"));
    }
    this.#waiting.clear();
    if (this.#wanted) this.#retry(reason);
  }

  #retry(reason) {
    // Jitter over the whole wait: a server that comes back is not met by everyone at once.
    const most = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#attempts);
    const wait = BACKOFF_FIRST_MS / 2 + Math.random() * most;
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.#open(), wait);
    this.#say("waiting", { reason, wait });
  }
}
