// npm's `socket.io-client` at full traffic against servers that are cut, killed and started again.
// Arguments: the folder that holds node_modules, the address, clients, the room, processes.
// Commands come by stdin, a line each; every one is answered by a line. `finish` holds what every
// client was told against the history: each message once, in order, and all that were acked.
const { createRequire } = require('node:module');
const readline = require('node:readline');
const assert = require('node:assert');
const [folder, address, count, room, processes] = process.argv.slice(2);
const { io } = createRequire(`${folder}/`)('socket.io-client');

const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];
const LANES = 4; // Messages in flight of each client.
const PATIENCE = 3000; // After so long without an ack a message is sent again under its key.

const faults = [];
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
let going = true;
let again = 0;

class Person {
  last = 0;
  heard = []; // [seq, key]
  acked = new Map(); // key -> seq
  life = 0; // Connections so far.
  synced = 0; // How many of them have caught up.
  typing = new Map(); // name -> whether they type
  floor = 0; // What was asked for more than once may come once more.
  waiting = null; // What came before the connection had caught up.

  constructor(number) {
    this.number = number;
    this.socket = io(address, {
      forceNew: true,
      transports: WAYS[number % WAYS.length],
      withCredentials: true, // A proxy's cookie, so that all requests reach one process.
      reconnectionDelay: 20,
      reconnectionDelayMax: 200,
      timeout: 5000,
      auth: { username: `user${number}`, identity: `identity-${number}` },
    });
    const { socket } = this;
    // npm's client hands out after its return what it had read when the connection broke, and has
    // told the server before that it has not seen it.
    socket.io.on('open', () => socket.receiveBuffer.splice(0));
    socket.on('message:new', (message) => {
      if (this.waiting) this.waiting.push(message); else this.hear(message);
    });
    socket.on('typing', ({ user, typing }) => { this.typing.set(user.name, typing); });
    socket.on('connect', () => {
      this.life += 1;
      if (socket.recovered && !this.waiting) {
        this.synced += 1;
      } else {
        // Recovery knows what was heard of, and not what was asked for and never came.
        this.typing.clear(); // Nobody says again that somebody no longer types.
        this.catchUp(this.life);
      }
    });
  }

  hear({ seq, key }) {
    if (seq <= this.floor) return;
    // Who has come to another process may be told once more what it knows, and drops it by its
    // number, as the page does.
    if (processes > 1 && this.life > 1 && seq <= this.last) {
      again += 1;
      return;
    }
    if (seq !== this.last + 1 && this.heard.length) {
      faults.push(`client ${this.number} was told ${seq} after ${this.last}`);
    }
    this.last = seq;
    this.heard.push([seq, key]);
  }

  async catchUp(life) {
    this.waiting = [];
    let asks = this.socket.recovered ? 2 : 1;
    for (;;) {
      const asked = { room, after: this.last };
      const answer = await this.socket.timeout(PATIENCE).emitWithAck('sync', asked)
        .catch(() => null);
      if (life !== this.life) return;
      if (!answer || answer.error) {
        asks += 1; // It may have been heard all the same.
        await pause(20);
        continue;
      }
      if (answer.too_old) faults.push(`client ${this.number}: too old`);
      answer.events.forEach(({ data }) => this.hear(data));
      if (!answer.more) break;
      this.floor = this.last;
      asks += 1;
    }
    if (asks > 1) this.floor = this.last;
    const { waiting } = this;
    this.waiting = null;
    waiting.forEach((message) => this.hear(message));
    this.synced += 1;
  }

  async speak(lane) {
    for (let n = 0; going; n += 1) {
      const key = `${this.number}-${lane}-${n}`;
      for (;;) {
        const said = { room, content: `${key} ${'x'.repeat(40)}`, key };
        const ack = await this.socket.timeout(PATIENCE).emitWithAck('message:send', said)
          .catch(() => null);
        if (ack?.seq) { this.acked.set(key, ack.seq); break; }
        await pause(10);
      }
    }
  }

  toString() {
    const { number, acked, heard, life, synced, socket } = this;
    const { engine } = socket.io;
    const state = `${socket.connected ? 'connected' : 'away'} ${engine?.readyState} `
      + `${engine?.transport?.name} ${engine?.transport?.readyState} ${engine?.upgrading}`;
    return `${number} ${state} ${life}/${synced} acked ${acked.size} heard ${heard.length}`;
  }

  cut(isTorn) {
    const { engine } = this.socket.io;
    if (isTorn && engine.transport.ws?.terminate) engine.transport.ws.terminate();
    else engine.close();
  }
}

const people = Array.from({ length: Number(count) }, (_, number) => new Person(number));
const acked = () => people.reduce((sum, one) => sum + one.acked.size, 0);

const until = async (what, is) => {
  const end = Date.now() + 30000;
  while (!is()) {
    if (Date.now() > end) throw new Error(`${what}: too long: ${people.map(String).join(', ')}`);
    await pause(5);
  }
};

const history = async () => {
  const all = [];
  for (;;) {
    const after = all.at(-1)?.seq ?? 0;
    const reply = await fetch(`${address}/api/v1/rooms/${room}/messages?limit=100&after=${after}`);
    const { messages } = await reply.json();
    all.push(...messages);
    if (messages.length < 100) return all;
  }
};

const check = async () => {
  const all = await history();
  assert.deepEqual(faults, []);
  all.forEach(({ seq }, n) => assert.equal(seq, n + 1, 'a number is missing or twice'));
  const kept = new Map(all.map(({ key, seq }) => [key, seq]));
  assert.equal(kept.size, all.length, 'a message is kept twice');
  for (const one of people) {
    const lanes = new Map();
    for (const [key, seq] of one.acked) {
      assert.equal(kept.get(key), seq, `acked, and not kept so: ${key}`);
      const lane = key.split('-')[1];
      assert.ok(seq > (lanes.get(lane) ?? 0), `out of order: ${key}`);
      lanes.set(lane, seq);
    }
    for (const [seq, key] of one.heard) assert.equal(all[seq - 1].key, key);
    assert.equal(one.heard.at(-1)[0], all.length, `client ${one.number} has not heard all`);
  }
  return all.length;
};

let ghost;
const commands = {
  // How many messages have been acked.
  acked: async () => acked(),
  // Waits until so many more have been, at every client.
  flow: async (more) => {
    const goals = people.map((one) => one.acked.size + Number(more));
    await until('traffic', () => people.every((one, n) => one.acked.size >= goals[n]));
    return acked();
  },
  // Cuts so many connections, one after the other.
  cut: async (times) => {
    for (let n = 0; n < Number(times);) {
      const one = people[n % people.length];
      if (one.socket.connected && one.synced >= 1) {
        one.cut(n % 2);
        n += 1;
      }
      await pause(15);
    }
    return times;
  },
  // A client at an address of its own that does not come back.
  ghost: async (at) => {
    const options = { forceNew: true, transports: ['websocket'], reconnection: false };
    ghost = io(at, { ...options, auth: { username: 'ghost' } });
    await ghost.emitWithAck('room:join', { room });
    return 'here';
  },
  // Lets the ghost type; and waits until everyone has heard that it does, or no longer does.
  type: async () => {
    ghost.emit('typing', { room });
    return 'typing';
  },
  typing: async (is) => {
    const wanted = is === 'true';
    const knows = (one) => Boolean(one.typing.get('ghost')) === wanted;
    await until(`typing ${is}`, () => people.every(knows));
    return is;
  },
  // Who is in the room, as one client sees it.
  who: async (number) => {
    const { socket } = people[Number(number)];
    const answer = await socket.timeout(PATIENCE).emitWithAck('presence:list', { room });
    return answer.users.map((user) => user.name).sort().join(' ');
  },
  finish: async () => {
    going = false;
    await speaking;
    await until('the last message', () => {
      const last = Math.max(...people.flatMap((one) => [...one.acked.values()].slice(-LANES)));
      return people.every((one) => one.last >= last && !one.waiting);
    });
    await pause(100);
    const kept = await check();
    const lives = people.reduce((sum, one) => sum + one.life, 0);
    return `${kept} kept, ${acked()} acked, ${lives} connections, ${again} told again`;
  },
};

let speaking;
(async () => {
  await until('clients', () => people.every((one) => one.synced > 0));
  speaking = Promise.all(people.flatMap((one) => (
    Array.from({ length: LANES }, (_, lane) => one.speak(lane)))));
  console.log('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    console.log(await commands[name](...words));
    if (name === 'finish') process.exit(0);
  }
})().catch((error) => {
  console.error(error);
  console.error(faults.slice(0, 20));
  process.exit(1);
});
