// npm's `socket.io-client` against a server of ours, over each transport.
// Arguments: the folder that holds node_modules, the address of the Socket.IO server.
const { createRequire } = require('node:module');
const { run, check, same } = require('./cases.cjs');
const [folder, address] = process.argv.slice(2);
const { io } = createRequire(`${folder}/`)('socket.io-client');

const next = (socket, name) => new Promise((resolve) => {
  socket.once(name, (...args) => resolve(args));
});

const cases = (transports) => {
  // Each case has a session of its own and ends it.
  const using = (body, namespace = '/', more = {}) => async () => {
    const options = { path: '/socket.io/', forceNew: true, transports, reconnectionDelay: 20 };
    const socket = io(`${address}${namespace}`, { ...options, ...more });
    try {
      await body(socket);
    } finally {
      socket.disconnect();
    }
  };
  const plain = [
    ['connects by its transport', using(async (socket) => {
      same(await next(socket, 'auth'), [{}]);
      check(socket.connected && socket.id.length > 8, 'no id');
      const { engine } = socket.io;
      if (transports.length === 2 && engine.transport.name !== 'websocket') {
        await next(engine, 'upgrade');
      }
      same(engine.transport.name, transports.at(-1));
    })],
    ['keeps the order of 300 events from its first moment on', using(async (socket) => {
      const numbers = [...Array(300).keys()];
      const found = [];
      const all = new Promise((resolve) => {
        socket.on('message-back', (number) => {
          if (found.push(number) === numbers.length) resolve();
        });
      });
      for (const number of numbers) {
        socket.emit('message', number);
        // A third before it is connected, the rest around the upgrade.
        if (number % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
      }
      await all;
      same(found, numbers);
    })],
    ['is answered', using(async (socket) => {
      same(await new Promise((resolve) => {
        socket.emit('message-with-ack', 1, 'é', { a: [null] }, (...args) => resolve(args));
      }), [1, 'é', { a: [null] }]);
    })],
    ['is asked and answers', using(async (socket) => {
      socket.on('question', (word, answer) => answer(`${word}!`, Buffer.from([7])));
      socket.emit('ask-me', 'why');
      const [word, bytes] = await next(socket, 'answered');
      same([word, [...bytes]], ['why!', [7]]);
    })],
    ['sends and gets bytes', using(async (socket) => {
      socket.emit('message', Buffer.from([1, 2]), { deep: [Buffer.from([3])] }, Buffer.alloc(0));
      const [first, { deep: [second] }, third] = await next(socket, 'message-back');
      same([[...first], [...second], [...third]], [[1, 2], [3], []]);
      const large = Buffer.alloc(200000, 5);
      const back = await socket.timeout(9000).emitWithAck('message-with-ack', large);
      check(large.equals(back), 'other bytes');
    })],
    ['gets no answer in time', using(async (socket) => {
      const error = await socket.timeout(50).emitWithAck('nobody-listens').catch((late) => late);
      check(error instanceof Error, `an answer: ${error}`);
    })],
    ['is refused without the word', using(async (socket) => {
      const [error] = await next(socket, 'connect_error');
      same([error.message, error.data], ['not authorized', { code: 401 }]);
      socket.auth = { word: 'sesame' };
      socket.connect();
      same(await next(socket, 'auth'), [{ word: 'sesame' }]);
    }, '/guarded')],
    ['finds no unknown namespace', using(async (socket) => {
      same((await next(socket, 'connect_error'))[0].message, 'Invalid namespace');
    }, '/nowhere')],
    ['uses two namespaces on one session', using(async (socket) => {
      const other = socket.io.socket('/custom', { auth: { a: 1 } });
      same(await next(other, 'auth'), [{ a: 1 }]);
      other.emit('message', 'there');
      socket.emit('message', 'here');
      same(await Promise.all([next(other, 'message-back'), next(socket, 'message-back')]),
        [['there'], ['here']]);
      other.disconnect();
      same(await socket.timeout(9000).emitWithAck('message-with-ack', 2), 2);
    })],
    ['is put out', using(async (socket) => {
      await next(socket, 'connect');
      socket.emit('put-me-out');
      same((await next(socket, 'disconnect'))[0], 'io server disconnect');
      check(!socket.active, 'tries again');
    })],
    ['leaves', using(async (socket) => {
      await next(socket, 'connect');
      const left = next(socket, 'disconnect');
      socket.disconnect();
      same((await left)[0], 'io client disconnect');
    })],
    ['comes back after the session is closed', using(async (socket) => {
      await next(socket, 'connect');
      const before = socket.id;
      socket.emit('close');
      same((await next(socket, 'disconnect'))[0], 'transport close');
      const again = next(socket, 'connect');
      socket.emit('message', 'kept');
      await again;
      check(socket.id !== before, 'the same id');
      same(await next(socket, 'message-back'), ['kept']);
    })],
  ];
  return plain;
};

(async () => {
  let failed = 0;
  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    failed += await run(transports.join(' then '), cases(transports));
  }
  process.exit(failed === 0 ? 0 : 1);
})();
