// Templates are compiled at their first use. There are 400, so memory grows until all were used.
'use strict';
const http = require('node:http');

const TEMPLATES = 400;
const compiled = new Map();

function compile(number) {
  const words = Array.from({ length: 200 }, (_, place) => `word ${number}.${place}`);
  return (name) => `${name}: ${words[number % words.length]}\n`;
}

function template(number) {
  let found = compiled.get(number);
  if (!found) compiled.set(number, (found = compile(number)));
  return found;
}

http
  .createServer((req, res) => {
    const number = Number(req.url.slice(1)) % TEMPLATES || 0;
    res.end(template(number)(req.url));
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
