// Every connection is kept in a set, to be ended at shutdown; only `--mended` forgets closed ones.
'use strict';
const http = require('node:http');

const sockets = new Set();
const mended = process.argv.includes('--mended');

const server = http.createServer((req, res) => {
  res.setHeader('connection', 'close');
  res.end('hello\n');
});

server.on('connection', (socket) => {
  sockets.add(socket);
  if (mended) socket.on('close', () => sockets.delete(socket));
});

process.on('SIGTERM', () => {
  for (const socket of sockets) socket.destroy();
  process.exit(0);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
