// Each request leaves a buffer of 16 KiB behind, outside the heap that a profile of V8 shows.
'use strict';
const http = require('node:http');

const kept = [];

http
  .createServer((req, res) => {
    req.resume();
    req.on('end', () => {
      kept.push(Buffer.alloc(16384, 1));
      res.end(`${kept.length}\n`);
    });
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
