// Progress of jobs, told every minute. The interval of a job is never cleared unless `--mended`.
'use strict';
const http = require('node:http');

const mended = process.argv.includes('--mended');

function report(job) {
  job.progress = Math.min(100, job.progress + 1);
}

function watchJob(name) {
  const job = { name, progress: 0, notes: [`${name} was queued`] };
  job.timer = setInterval(() => report(job), 60_000);
  return job;
}

http
  .createServer((req, res) => {
    const job = watchJob(req.url.slice(1));
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ job: job.name, progress: job.progress }));
    if (mended) clearInterval(job.timer);
  })
  .listen(Number(process.argv[2]), '127.0.0.1');
