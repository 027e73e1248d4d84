// A server on npm's `socket.io` with the events of our example server. Prints its port, and ends
// when its standard input does.
// Arguments: the folder that holds node_modules; `recover` to recover connections, which puts an
// offset behind every event.
const { createRequire } = require('node:module');
const { createServer } = require('node:http');
const [folder, recover] = process.argv.slice(2);
const { Server } = createRequire(`${folder}/`)('socket.io');

const http = createServer();
const options = { pingInterval: 100, pingTimeout: 20000 };
if (recover) options.connectionStateRecovery = {};
const io = new Server(http, options);

const serve = (socket) => {
  socket.emit('auth', socket.handshake.auth);
  socket.on('message', (...args) => socket.emit('message-back', ...args));
  socket.on('message-with-ack', (...args) => args.pop()(...args));
  socket.on('ask-me', async (word) => {
    socket.emit('answered', await socket.timeout(5000).emitWithAck('question', word));
  });
  socket.on('put-me-out', () => socket.disconnect());
  socket.on('close', () => socket.conn.close());
  socket.on('join-news', () => {
    socket.join('news');
    io.to('news').emit('news', 'before');
  });
  // Sent while nobody is there: what a recovered connection has missed.
  socket.on('disconnect', () => setImmediate(() => io.to('news').emit('news', 'missed')));
};

io.on('connection', serve);
io.of('/custom').on('connection', serve);
io.of('/guarded').use((socket, next) => {
  const error = Object.assign(new Error('not authorized'), { data: { code: 401 } });
  next(socket.handshake.auth.word === 'sesame' ? undefined : error);
}).on('connection', serve);

http.listen(0, '127.0.0.1', () => console.log(http.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
