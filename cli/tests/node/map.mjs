// Answers are remembered under a number of their own, and nobody ever asks for them again.
import { createServer } from 'node:http';

class Answer {
  constructor(number, body) {
    this.number = number;
    this.body = body;
    this.at = new Date();
  }
}

class AnswerCache {
  #answers = new Map();
  #next = 0;

  remember(body) {
    const answer = new Answer(this.#next++, body);
    this.#answers.set(answer.number, answer);
    return answer;
  }
}

const cache = new AnswerCache();

async function answer(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return cache.remember({ path: request.url, length: Buffer.concat(parts).length });
}

createServer(async (request, response) => {
  const { number } = await answer(request);
  response.end(`${number}\n`);
}).listen(Number(process.argv[2]), '127.0.0.1');
