// Each request makes a lot of garbage, and the last thousand results are kept.
'use strict';
const http = require('node:http');

const recent = new Array(1000).fill(null);
let next = 0;

async function crunch(seed) {
  const rows = Array.from({ length: 300 }, (_, place) => ({ place, value: (seed * place) % 997 }));
  rows.sort((a, b) => a.value - b.value);
  await new Promise((resolve) => setTimeout(resolve, 1));
  const text = JSON.stringify(rows.slice(0, 40));
  return JSON.parse(text);
}

http
  .createServer(async (req, res) => {
    const rows = await crunch(next);
    recent[next++ % recent.length] = rows;
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ rows: rows.length }));
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
