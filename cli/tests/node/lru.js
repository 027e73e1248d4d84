// A cache of rendered pages that holds the last 500 and forgets the oldest.
'use strict';
const http = require('node:http');

const LIMIT = 500;
const pages = new Map();

function render(path) {
  return { path, html: `<h1>${path}</h1>${'<p>some words</p>'.repeat(20)}`, at: Date.now() };
}

function cached(path) {
  let page = pages.get(path);
  if (page) {
    pages.delete(path);
  } else {
    page = render(path);
  }
  pages.set(path, page);
  if (pages.size > LIMIT) pages.delete(pages.keys().next().value);
  return page;
}

http
  .createServer((req, res) => res.end(cached(req.url).html))
  .listen(Number(process.argv[2]), '127.0.0.1');
