// Work that is put off until the server shuts down: each of it holds on to its whole request.
'use strict';
const http = require('node:http');

const atShutdown = [];

function audit(req) {
  const began = process.hrtime.bigint();
  atShutdown.push(() => `${req.method} ${req.url} ${req.headers.host} ${began}`);
}

const server = http.createServer((req, res) => {
  audit(req);
  res.writeHead(200, { 'content-type': 'text/plain' });
  res.end('noted\n');
});

process.on('SIGINT', () => {
  for (const line of atShutdown) console.log(line());
  process.exit(0);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
