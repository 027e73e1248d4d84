// npm's `socket.io-client` and `ws` against the reference server, over each transport.
// Arguments: the folder that holds node_modules, the address of the server.
const { createRequire } = require('node:module');
const [folder, address] = process.argv.slice(2);
const npm = createRequire(`${folder}/`);
const { io } = npm('socket.io-client');
const WebSocket = npm('ws');
const assert = require('node:assert');

const WAYS = [['polling'], ['websocket'], ['polling', 'websocket']];
const open = [];

const connect = (transports, more = {}, namespace = '/') => {
  const options = { forceNew: true, transports, reconnectionDelay: 5, reconnectionDelayMax: 20 };
  const socket = io(`${address}${namespace}`, { ...options, ...more });
  open.push(() => socket.disconnect());
  return socket;
};

const next = (socket, name) => new Promise((resolve) => {
  socket.once(name, (...args) => resolve(args));
});

const plain = async (room, username) => {
  const query = username ? `&username=${username}` : '';
  const socket = new WebSocket(`${address.replace('http', 'ws')}/ws?room=${room}${query}`);
  const heard = [];
  const waiting = [];
  socket.on('message', (text) => {
    const message = JSON.parse(text);
    const waiter = waiting.shift();
    if (waiter) waiter(message); else heard.push(message);
  });
  socket.hear = () => new Promise((resolve) => {
    if (heard.length) resolve(heard.shift()); else waiting.push(resolve);
  });
  open.push(() => socket.close());
  assert.equal((await socket.hear()).event, 'welcome');
  return socket;
};

const upgraded = async (socket, transports) => {
  const { engine } = socket.io;
  if (transports.length === 2 && engine.transport.name !== 'websocket') {
    await next(engine, 'upgrade');
  }
  assert.equal(engine.transport.name, transports.at(-1));
};

const cases = {
  'both kinds meet in one room': async (way, room) => {
    const ben = await plain(room, 'Ben');
    const ada = connect(way, { auth: { username: 'Ada' } });
    assert.deepEqual(await ada.emitWithAck('room:join', { room }), { room, seq: 0, members: 2 });
    await upgraded(ada, way);
    const heard = next(ada, 'message:new');
    const said = { room, content: 'hi <b>', key: 'k-1' };
    const ack = await ada.emitWithAck('message:send', said);
    assert.deepEqual(ack, { id: ack.id, seq: 1 });
    const [own, offset] = await heard;
    assert.ok(/^\d+$/.test(offset), offset);
    assert.deepEqual(own, { ...said, id: ack.id, seq: 1, username: 'Ada', timestamp: own.timestamp });
    const text = await ben.hear();
    assert.deepEqual([text.type, text.content, text.username, text.seq], ['user', 'hi <b>', 'Ada', 1]);
    const back = next(ada, 'message:new');
    ben.send(JSON.stringify({ type: 'user', content: 'hello' }));
    assert.deepEqual([(await back)[0].content, (await back)[0].seq], ['hello', 2]);
    assert.equal((await ben.hear()).seq, 2);
    // Sent again after an ack that was lost: kept once, heard once.
    assert.deepEqual(await ada.emitWithAck('message:send', said), ack);
    assert.equal((await ada.emitWithAck('message:send', { room, content: 'on' })).seq, 3);
    assert.equal((await ben.hear()).seq, 3);
  },
  'bytes go along': async (way, room) => {
    const [ada, ben] = [connect(way), connect(way)];
    await ada.emitWithAck('room:join', { room });
    await ben.emitWithAck('room:join', { room });
    const heard = next(ben, 'message:new');
    const bytes = Buffer.from([0, 1, 255]);
    await ada.emitWithAck('message:send', { room, content: 'look', attachment: bytes });
    const [{ content, attachment }] = await heard;
    assert.deepEqual([content, [...attachment]], ['look', [0, 1, 255]]);
  },
  'namespaces are told apart': async (way) => {
    const own = connect(way, {}, '/notifications');
    await next(own, 'connect');
    const unknown = connect(way, {}, '/unknown');
    assert.equal((await next(unknown, 'connect_error'))[0].message, 'Invalid namespace');
  },
  'what is wrong is answered and the connection stays': async (way, room) => {
    const ada = connect(way);
    const code = async (event, ...args) => (await ada.emitWithAck(event, ...args)).error.code;
    assert.equal(await code('message:send', { room, content: 'x' }), 'not_in_room');
    assert.equal(await code('room:join', { room: 'no spaces' }), 'bad_room');
    assert.equal(await code('room:join'), 'missing_field');
    assert.equal(await code('room:join', 'lobby'), 'bad_json');
    assert.equal(await code('dance', {}), 'unknown_event');
    await ada.emitWithAck('room:join', { room });
    const long = { room, content: 'x'.repeat(70000) };
    assert.equal(await code('message:send', long), 'too_long');
    const attachment = Buffer.alloc(70000);
    assert.equal(await code('message:send', { room, content: 'x', attachment }), 'too_long');
    const error = next(ada, 'error');
    ada.emit('message:send', { room });
    assert.deepEqual((await error)[0].event, 'message:send');
    assert.equal((await ada.emitWithAck('message:send', { room, content: 'x' })).seq, 1);
  },
  'presence counts windows': async (way, room) => {
    const ben = connect(way, { auth: { username: 'Ben' } });
    await ben.emitWithAck('room:join', { room });
    let online = next(ben, 'presence:online');
    const first = connect(way, { auth: { username: 'Ada' } });
    await first.emitWithAck('room:join', { room });
    assert.deepEqual((await online)[0], { room, user: { name: 'Ada' } });
    const second = connect(way, { auth: { username: 'Ada' } });
    await second.emitWithAck('room:join', { room });
    const guest = await plain(room);
    const all = { room, users: [{ name: 'Ada' }, { name: 'Ben' }], guests: 1 };
    assert.deepEqual(await ben.emitWithAck('presence:list', { room }), all);
    ben.onAny((name) => assert.notEqual(name, 'presence:online'));
    let offline = next(ben, 'presence:offline');
    first.disconnect();
    await second.emitWithAck('message:send', { room, content: 'still here' });
    const { users } = await ben.emitWithAck('presence:list', { room });
    assert.deepEqual(users.map((user) => user.name), ['Ada', 'Ben']);
    await second.emitWithAck('room:leave', { room });
    assert.deepEqual((await offline)[0].user, { name: 'Ada' });
    guest.close();
  },
  'typing ends by itself': async (way, room) => {
    const [ada, ben] = [connect(way, { auth: { username: 'Ada' } }), connect(way)];
    await ada.emitWithAck('room:join', { room });
    await ben.emitWithAck('room:join', { room });
    const told = [];
    ben.on('typing', ({ user, typing }) => told.push(`${user.name} ${typing}`));
    ada.emit('typing', { room });
    ada.emit('typing', { room });
    await next(ben, 'typing');
    await next(ben, 'typing');
    ada.emit('typing', { room });
    await ada.emitWithAck('message:send', { room, content: 'said' });
    await ben.emitWithAck('presence:list', { room });
    assert.deepEqual(told, ['Ada true', 'Ada false', 'Ada true', 'Ada false']);
  },
  'order is kept': async (way, room) => {
    const ada = connect(way);
    await ada.emitWithAck('room:join', { room });
    const heard = [];
    const all = new Promise((resolve) => {
      ada.on('message:new', ({ content }) => { if (heard.push(content) === 300) resolve(); });
    });
    const acks = [];
    for (let n = 0; n < 300; n += 1) acks.push(ada.emitWithAck('message:send', { content: `${n}` }));
    const seqs = (await Promise.all(acks)).map((ack) => ack.seq);
    await all;
    const numbers = [...Array(300).keys()];
    assert.deepEqual(seqs, numbers.map((n) => n + 1));
    assert.deepEqual(heard, numbers.map(String));
  },
};

// Connections are cut again and again while messages go both ways: nothing is lost or doubled.
const CUTS = 200;
const chaos = async () => {
  const room = 'chaos';
  const heard = new Map();
  const people = WAYS.map((way) => connect(way, { retries: 1000, ackTimeout: 2000 }));
  let recovered = 0;
  for (const [number, one] of people.entries()) {
    heard.set(number, []);
    // npm's client hands out after its return what it had read when the connection broke, and has
    // told the server before that it has not seen it.
    one.io.on('open', () => one.receiveBuffer.splice(0));
    one.on('message:new', ({ seq, content }) => heard.get(number).push([seq, content]));
    one.on('connect', () => { if (one.recovered) recovered += 1; });
    await one.emitWithAck('room:join', { room });
    // So that each has an offset to come back with.
    await one.emitWithAck('message:send', { room, content: 'hello', key: `hello-${number}` });
  }
  const watch = await plain(room);
  let cuts = 0;
  const cut = setInterval(() => {
    const one = people[cuts % people.length];
    if (!one.connected) return;
    cuts += 1;
    const { engine } = one.io;
    // Every other WebSocket is torn without a word.
    if (cuts % 2 && engine.transport.ws?.terminate) engine.transport.ws.terminate();
    else engine.close();
    if (cuts >= CUTS) clearInterval(cut);
  }, 5);
  let sent = people.length;
  const send = async (one, number) => {
    for (let n = 0; cuts < CUTS; n += 1) {
      const key = `${number}-${n}`;
      const ack = await one.emitWithAck('message:send', { room, content: key, key });
      assert.ok(ack.seq > 0, JSON.stringify(ack));
      sent += 1;
    }
  };
  await Promise.all(people.map(send));
  await watch.hear();
  const all = () => people.every((_, number) => heard.get(number).at(-1)[0] === sent);
  while (!all()) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const [number] of people.entries()) {
    const seqs = heard.get(number).map(([seq]) => seq);
    for (let n = 1; n < seqs.length; n += 1) {
      if (seqs[n] !== seqs[n - 1] + 1) console.log(`client ${number}: ${seqs[n - 1]}, ${seqs[n]}`);
    }
    const own = Array.from({ length: sent - seqs[0] + 1 }, (_, n) => seqs[0] + n);
    assert.deepEqual(seqs, own, 'lost, doubled or out of order');
    const contents = heard.get(number).map(([, content]) => content);
    assert.equal(new Set(contents.filter((it) => it !== 'hello')).size,
      contents.filter((it) => it !== 'hello').length, 'kept twice');
  }
  console.log(`chaos: ${sent} messages, ${cuts} cuts, ${recovered} recovered`);
};

const within = (what, promise) => Promise.race([promise, new Promise((_, reject) => {
  setTimeout(() => reject(new Error(`${what}: too long`)), 60000).unref();
})]);

(async () => {
  for (const way of WAYS) {
    let passed = 0;
    for (const [name, body] of Object.entries(cases)) {
      const what = `${way.join(' then ')}: ${name}`;
      const room = `room-${way.join('-')}-${passed}`;
      await within(what, body(way, room)).catch((error) => {
        console.error(what);
        throw error;
      });
      open.splice(0).forEach((close) => close());
      passed += 1;
    }
    console.log(`${way.join(' then ')}: ${passed} of ${Object.keys(cases).length}`);
  }
  await within('chaos', chaos());
  open.splice(0).forEach((close) => close());
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
