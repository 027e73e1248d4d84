// A feed of prices. Each reader subscribes and is sent the next change; `--mended` unsubscribes.
'use strict';
const http = require('node:http');
const { EventEmitter } = require('node:events');

const prices = new EventEmitter();
prices.setMaxListeners(0);
const mended = process.argv.includes('--mended');

function subscribe(req, res) {
  const reader = { since: Date.now(), agent: req.headers['user-agent'] ?? 'unknown', sent: 0 };
  const onChange = (price) => {
    reader.sent += 1;
    if (!res.writableEnded) res.end(String(price));
  };
  prices.on('change', onChange);
  if (mended) res.on('close', () => prices.off('change', onChange));
  res.end('subscribed\n');
}

const server = http.createServer((req, res) => {
  if (req.url.startsWith('/feed')) return subscribe(req, res);
  res.end('ok\n');
});
server.listen(Number(process.argv[2]), '127.0.0.1');
