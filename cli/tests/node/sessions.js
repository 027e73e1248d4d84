// Sessions are kept in memory by a random id and end with the process.
'use strict';
const http = require('node:http');
const { randomUUID } = require('node:crypto');

class Session {
  constructor(user) {
    this.id = randomUUID();
    this.user = user;
    this.cart = [];
    this.lastSeen = Date.now();
  }
}

class SessionStore {
  constructor() {
    this.sessions = new Map();
  }

  create(user) {
    const session = new Session(user);
    this.sessions.set(session.id, session);
    return session;
  }

  find(id) {
    return this.sessions.get(id);
  }
}

const store = new SessionStore();

function login(req, res) {
  const session = store.create(new URL(req.url, 'http://here').searchParams.get('user'));
  res.setHeader('set-cookie', `id=${session.id}`);
  res.end('welcome\n');
}

function page(req, res) {
  const id = /id=([^;]+)/.exec(req.headers.cookie ?? '')?.[1];
  const session = store.find(id);
  if (session) session.lastSeen = Date.now();
  res.end(session ? `hello ${session.user}\n` : 'who are you?\n');
}

http
  .createServer((req, res) => (req.url.startsWith('/login') ? login(req, res) : page(req, res)))
  .listen(Number(process.argv[2]), '127.0.0.1');
