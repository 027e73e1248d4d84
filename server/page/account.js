// Who this browser is, and requests in that name.
// In: names and passwords, paths and bodies. Out: tokens that are renewed in time, replies as
// JSON, problems as errors with the server's own words.
// A guest has a name of its own choice and a random identity; a user has tokens. Both are kept in
// this browser, where all windows share them: a refresh token may be used once, so that one window
// alone renews while the others wait for what it gets.

import { random, recall, remember } from "./dom.js";

const BASE = "/api/v1";
const RENEW_BEFORE_MS = 60_000;
const LEASE_MS = 10_000;

/** A request that the server refused, or that did not reach it (status 0). */
export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Runs one task at a time over all windows of this browser. */
async function alone(name, task) {
  if (navigator.locks) return navigator.locks.request(`ebbtide.${name}`, task);
  // Pages over plain HTTP from another machine have no locks: a lease does, nearly.
  const own = random();
  const lease = `lease.${name}`;
  for (;;) {
    const held = recall(lease);
    if (!held || held.until < Date.now()) remember(lease, { own, until: Date.now() + LEASE_MS });
    await new Promise((resolve) => { setTimeout(resolve, 50 + Math.random() * 50); });
    const now = recall(lease);
    if (!now || now.own === own) break;
  }
  try {
    return await task();
  } finally {
    remember(lease, null);
  }
}

class Account {
  #guest;
  #session = recall("session");
  /** Called when the user is another one, or none. */
  changed = () => {};

  constructor() {
    this.#guest = recall("guest");
    if (!this.#guest?.identity) {
      const identity = random();
      this.#guest = { identity, name: `Guest-${identity.slice(0, 4)}` };
      remember("guest", this.#guest);
    }
    window.addEventListener("storage", ({ key }) => {
      if (key !== "ebbtide.session") return;
      const before = this.name;
      this.#session = recall("session");
      if (before !== this.name) this.changed();
    });
  }

  get isSignedIn() {
    return this.#session !== null;
  }

  get name() {
    return this.#session?.user.name ?? this.#guest.name;
  }

  /** The user's number; undefined for a guest. */
  get id() {
    return this.#session?.user.id;
  }

  /** A guest's own name for itself. */
  rename(name) {
    this.#guest.name = name;
    remember("guest", this.#guest);
  }

  /** What a socket shows when it connects. */
  async credentials() {
    if (!this.isSignedIn) return { username: this.#guest.name, identity: this.#guest.identity };
    return { token: await this.token() };
  }

  /** When the token should be renewed, in ms from now; undefined for a guest. */
  get renewIn() {
    return this.#session ? Math.max(0, this.#session.until - RENEW_BEFORE_MS - Date.now())
      : undefined;
  }

  /** A token that is good for a while. */
  async token(isStale = false) {
    if (!isStale && this.renewIn > 0) return this.#session.access;
    return alone("renewal", async () => {
      const shown = this.#session?.access;
      this.#session = recall("session");
      if (!this.#session) throw new Problem(401, "signed_out", "you are signed out");
      // Another window was faster.
      const isNew = this.#session.access !== shown || !isStale;
      if (isNew && this.renewIn > 0) return this.#session.access;
      try {
        this.#keep(await this.#ask("POST", "/auth/refresh", {
          refresh_token: this.#session.refresh,
        }));
      } catch (problem) {
        if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) this.forget();
        throw problem;
      }
      return this.#session.access;
    });
  }

  /** @param {"register"|"login"} how */
  async sign(how, username, password) {
    this.#keep(await this.#ask("POST", `/auth/${how}`, { username, password }));
    this.changed();
  }

  async signOut() {
    const refresh = this.#session?.refresh;
    this.forget();
    // Whether it is heard or not, this browser knows the token no more.
    if (!refresh) return;
    await this.#ask("POST", "/auth/logout", { refresh_token: refresh }).catch(() => {});
  }

  forget() {
    this.#session = null;
    remember("session", null);
    this.changed();
  }

  #keep({ access_token: access, refresh_token: refresh, expires_in: seconds, user }) {
    this.#session = { access, refresh, user, until: Date.now() + seconds * 1_000 };
    remember("session", this.#session);
  }

  /** A request as who this is; `body` is JSON, or a form as it is. */
  async call(method, path, body) {
    if (!this.isSignedIn) return this.#ask(method, path, body);
    const token = await this.token();
    try {
      return await this.#ask(method, path, body, token);
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      return this.#ask(method, path, body, await this.token(true));
    }
  }

  /** The bytes of an uploaded file, for which an element cannot show a token. */
  async blob(path) {
    const headers = this.isSignedIn ? { authorization: `Bearer ${await this.token()}` } : {};
    const reply = await reach(path, { headers });
    if (!reply.ok) throw await problem(reply);
    return reply.blob();
  }

  async #ask(method, path, body, token) {
    const headers = { accept: "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    const isForm = body instanceof FormData;
    if (body !== undefined && !isForm) headers["content-type"] = "application/json";
    const sent = body === undefined || isForm ? body : JSON.stringify(body);
    const reply = await reach(BASE + path, { method, headers, body: sent });
    if (!reply.ok) throw await problem(reply);
    const text = await reply.text();
    try {
      return text ? JSON.parse(text) : {};
    } catch {
      throw new Problem(reply.status, "not_json", "the server's answer cannot be read");
    }
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, { ...options, credentials: "omit", redirect: "error" });
  } catch {
    throw new Problem(0, "unreachable", "the server cannot be reached");
  }
}

/** What a reply of the kind RFC 9457 says is wrong. */
async function problem(reply) {
  let said = {};
  try {
    said = await reply.json();
  } catch { /* not one of ours, such as a proxy's */ }
  const message = said.detail ?? said.title ?? `the server answered ${reply.status}`;
  return new Problem(reply.status, said.code ?? said.type ?? "refused", message);
}

export const account = new Account();
