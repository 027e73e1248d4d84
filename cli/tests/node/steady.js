// Nothing is kept: a body is read, looked at and answered.
'use strict';
const http = require('node:http');

function words(text) {
  const counts = {};
  for (const word of text.split(/\s+/)) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

http
  .createServer((req, res) => {
    let text = '';
    req.setEncoding('utf8');
    req.on('data', (part) => (text += part));
    req.on('end', () => {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(words(text)));
    });
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
