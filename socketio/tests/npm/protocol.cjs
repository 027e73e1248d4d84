// The cases of the published suites of Engine.IO 4 and Socket.IO 5, in words of our own: spoken by
// hand, with fetch and npm's `ws`. Nothing waits for a time to pass; what must come is waited for.
// Arguments: the folder that holds node_modules, the address of a server of Engine.IO that echoes,
// that of the Socket.IO server.
const { createRequire } = require('node:module');
const { run, check, same } = require('./cases.cjs');
const [folder, engineAt, socketAt] = process.argv.slice(2);
const { WebSocket } = createRequire(`${folder}/`)('ws');

const KEYS = ['maxPayload', 'pingInterval', 'pingTimeout', 'sid', 'upgrades'];
const POLLING = 'EIO=4&transport=polling';
const WEBSOCKET = 'EIO=4&transport=websocket';

// A server by its base, such as http://127.0.0.1:1/engine.io/.
class Peer {
  constructor(base) { this.base = base; }

  async ask(query, options) {
    const reply = await fetch(`${this.base}?${query}`, options);
    return { status: reply.status, text: await reply.text() };
  }

  status(query, method) { return this.ask(query, { method }).then((reply) => reply.status); }

  poll(sid, options) { return this.ask(`${POLLING}&sid=${sid}`, options); }

  push(sid, body) { return this.poll(sid, { method: 'POST', body }); }

  async open() {
    const { status, text } = await this.ask(POLLING);
    same([status, text[0]], [200, '0']);
    return JSON.parse(text.slice(1));
  }

  talk(query) { return new Talk(`${this.base.replace('http', 'ws')}?${query}`); }

  async upgraded() {
    const { sid } = await this.open();
    const talk = this.talk(`${WEBSOCKET}&sid=${sid}`);
    await talk.opened;
    talk.send('2probe');
    same(await talk.next(), '3probe');
    talk.send('5');
    return { sid, talk };
  }
}

// A WebSocket whose messages are waited for one by one. Bytes come as arrays of numbers.
class Talk {
  constructor(url) {
    this.queue = [];
    this.socket = new WebSocket(url);
    this.opened = new Promise((resolve) => this.socket.on('open', resolve));
    this.closed = new Promise((resolve) => this.socket.on('close', resolve));
    this.socket.on('error', () => {});
    this.socket.on('message', (bytes, isBinary) => {
      this.queue.push(isBinary ? [...bytes] : bytes.toString());
      this.wake?.();
    });
  }

  send(message) { this.socket.send(message); }

  async next() {
    while (this.queue.length === 0) {
      await new Promise((resolve) => { this.wake = resolve; });
    }
    return this.queue.shift();
  }

  // The next message that is not a ping.
  async word() {
    const message = await this.next();
    return message === '2' ? this.word() : message;
  }

  end() { this.socket.close(); }
}

const refused = [
  ['EIO', ['transport=T', 'EIO=abc&transport=T']],
  ['transport', ['EIO=4', 'EIO=4&transport=abc']],
];

// What both suites ask of the lower layer.
function session(peer) {
  return [
    ['polling opens', async () => {
      const open = await peer.open();
      same(Object.keys(open).sort(), KEYS);
      same([open.upgrades, open.pingInterval, open.pingTimeout, open.maxPayload],
        [['websocket'], 300, 1000, 1000000]);
    }],
    ...refused.map(([name, queries]) => [`polling without a valid ${name} is refused`, async () => {
      for (const query of queries) same(await peer.status(query.replace('T', 'polling')), 400);
    }]),
    ['polling by another method is refused', async () => {
      for (const method of ['POST', 'PUT']) same(await peer.status(POLLING, method), 400);
    }],
    ['a WebSocket opens', async () => {
      const talk = peer.talk(WEBSOCKET);
      const text = await talk.next();
      const open = JSON.parse(text.slice(1));
      same([text[0], Object.keys(open).sort(), open.upgrades], ['0', KEYS, []]);
      talk.end();
    }],
    ...refused.map(([name, queries]) => [`a WebSocket without a valid ${name} is closed`, async () => {
      for (const query of queries) await peer.talk(query.replace('T', 'websocket')).closed;
    }]),
    ['polling beats', async () => {
      const { sid } = await peer.open();
      for (let beat = 0; beat < 3; beat += 1) {
        same(await peer.poll(sid), { status: 200, text: '2' });
        same(await peer.push(sid, '3'), { status: 200, text: 'ok' });
      }
    }],
    ['polling without a pong is closed', async () => {
      const { sid } = await peer.open();
      same((await peer.poll(sid)).text, '2');
      same((await peer.poll(sid)).text, '1');
      same((await peer.poll(sid)).status, 400);
    }],
    ['a WebSocket beats', async () => {
      const talk = peer.talk(WEBSOCKET);
      await talk.next();
      for (let beat = 0; beat < 3; beat += 1) {
        same(await talk.next(), '2');
        talk.send('3');
      }
      talk.end();
    }],
    ['a WebSocket without a pong is closed', () => peer.talk(WEBSOCKET).closed],
    ['polling is closed by its client', async () => {
      const { sid } = await peer.open();
      // Two connections: whichever comes first, the GET is answered.
      const [polled, closed] = await Promise.all([peer.poll(sid), peer.push(sid, '1')]);
      same([polled, closed], [{ status: 200, text: '6' }, { status: 200, text: 'ok' }]);
      same((await peer.poll(sid)).status, 400);
    }],
    ['a WebSocket is closed by its client', async () => {
      const talk = peer.talk(WEBSOCKET);
      await talk.next();
      talk.send('1');
      await talk.closed;
    }],
    ['polling upgrades, its GET let go', async () => {
      const { sid } = await peer.open();
      const talk = peer.talk(`${WEBSOCKET}&sid=${sid}`);
      await talk.opened;
      talk.send('2probe');
      same(await talk.next(), '3probe');
      same((await peer.poll(sid)).text, '6');
      talk.send('5');
      same(await talk.next(), '2');
      talk.end();
    }],
    ['requests after an upgrade are refused', async () => {
      const { sid, talk } = await peer.upgraded();
      same((await peer.poll(sid)).status, 400);
      same(await talk.next(), '2');
      talk.end();
    }],
    ['a second WebSocket after an upgrade is closed', async () => {
      const { sid, talk } = await peer.upgraded();
      await peer.talk(`${WEBSOCKET}&sid=${sid}`).closed;
      same(await talk.next(), '2');
      talk.end();
    }],
  ];
}

function messages(peer) {
  const body = (text) => async () => {
    const { sid } = await peer.open();
    same(await peer.push(sid, text), { status: 200, text: 'ok' });
    same(await peer.poll(sid), { status: 200, text });
  };
  const talking = (steps) => async () => {
    const talk = peer.talk(WEBSOCKET);
    await talk.next();
    await steps(talk);
  };
  return [
    ['a body of one packet', body('4hello')],
    ['a body of several packets', body('4test1\x1e4test2\x1e4test3')],
    ['a body of text and bytes', body('4hello\x1ebAQIDBA==')],
    ['a body that is none closes', async () => {
      const { sid } = await peer.open();
      same((await peer.push(sid, 'abc')).status, 400);
      same((await peer.poll(sid)).status, 400);
    }],
    ['two GETs at once close', async () => {
      const { sid } = await peer.open();
      const replies = await Promise.all([peer.poll(sid), peer.poll(sid)]);
      same(replies.map((reply) => reply.status).sort(), [200, 400]);
      same(replies.find((reply) => reply.status === 200).text, '1');
      same((await peer.poll(sid)).status, 400);
    }],
    ['a GET given up closes', async () => {
      const { sid } = await peer.open();
      const leave = new AbortController();
      const left = peer.poll(sid, { signal: leave.signal }).catch((error) => error.name);
      // Another client's exchange: what was sent before it has been seen.
      await peer.open();
      leave.abort();
      same(await left, 'AbortError');
      same((await peer.poll(sid)).status, 400);
    }],
    ['text both ways', talking(async (talk) => {
      talk.send('4hello');
      same(await talk.next(), '4hello');
      talk.end();
    })],
    ['bytes both ways', talking(async (talk) => {
      talk.send(Uint8Array.from([1, 2, 3, 4]));
      same(await talk.next(), [1, 2, 3, 4]);
      talk.end();
    })],
    ['a message that is no packet closes', talking(async (talk) => {
      talk.send('abc');
      await talk.closed;
    })],
  ];
}

function socketIo(peer) {
  const raw = async () => {
    const talk = peer.talk(WEBSOCKET);
    await talk.next();
    return talk;
  };
  const connected = async () => {
    const talk = await raw();
    talk.send('40');
    await talk.word();
    await talk.word();
    return talk;
  };
  const joins = (request, prefix, auth) => async () => {
    const talk = await raw();
    talk.send(request);
    const text = await talk.word();
    check(text.startsWith(`40${prefix}{`), text);
    const granted = JSON.parse(text.slice(2 + prefix.length));
    same([Object.keys(granted), typeof granted.sid], [['sid'], 'string']);
    same(await talk.word(), `42${prefix}["auth",${auth}]`);
    talk.end();
  };
  const sends = (request, ...replies) => async () => {
    const talk = await connected();
    for (const message of request) talk.send(message);
    for (const reply of replies) same(await talk.word(), reply);
    talk.end();
  };
  const closes = (message, start = connected) => async () => {
    const talk = await start();
    talk.send(message);
    await talk.closed;
  };
  const two = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
  const bytes = [Uint8Array.from([1, 2, 3]), Uint8Array.from([4, 5, 6])];
  return [
    ['the main namespace', joins('40', '', '{}')],
    ['the main namespace with credentials', joins('40{"token":"123"}', '', '{"token":"123"}')],
    ['another namespace', joins('40/custom,', '/custom,', '{}')],
    ['another namespace with credentials',
      joins('40/custom,{"token":"abc"}', '/custom,', '{"token":"abc"}')],
    ['an unknown namespace is refused', async () => {
      const talk = await raw();
      talk.send('40/random');
      same(await talk.word(), '44/random,{"message":"Invalid namespace"}');
      talk.end();
    }],
    ['a connect that is no packet closes', closes('4abc', raw)],
    ['no connect at all closes', async () => (await raw()).closed],
    ['leaving the namespace keeps the session', async () => {
      const talk = await connected();
      talk.send('41');
      same(await talk.next(), '2');
      talk.end();
    }],
    ['leaving one namespace keeps the other', async () => {
      const talk = await connected();
      same(await talk.next(), '2');
      talk.send('40/custom');
      await talk.word();
      await talk.word();
      talk.send('41/custom');
      talk.send('42["message","to the main one"]');
      same(await talk.word(), '42["message-back","to the main one"]');
      talk.end();
    }],
    ['an event', sends(['42["message",1,"2",{"3":[true]}]'],
      '42["message-back",1,"2",{"3":[true]}]')],
    ['an event with bytes', sends([`452-["message",${two}]`, ...bytes],
      `452-["message-back",${two}]`, [1, 2, 3], [4, 5, 6])],
    ['an answer', sends(['42456["message-with-ack",1,"2",{"3":[false]}]'],
      '43456[1,"2",{"3":[false]}]')],
    ['an answer with bytes', sends([`452-789["message-with-ack",${two}]`, ...bytes],
      `462-789[${two}]`, [1, 2, 3], [4, 5, 6])],
    ['an unknown type closes', closes('4abc')],
    ['a payload that is no array closes', closes('42{}')],
    ['an id that is none closes', closes('42abc["message-with-ack",1]')],
  ];
}

(async () => {
  const [engine, socket] = [new Peer(engineAt), new Peer(socketAt)];
  let failed = await run('Engine.IO', [...session(engine), ...messages(engine)]);
  failed += await run('Socket.IO', [...session(socket), ...socketIo(socket)]);
  process.exit(failed === 0 ? 0 : 1);
})();
