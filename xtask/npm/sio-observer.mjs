// A client on npm `socket.io-client` that joins a room and takes the stamps of the messages it
// receives: the machine's monotonic clock, which Node's `hrtime` reads as well.
//
// In: URL, room, number of messages. Out: `joined`, then one line of JSON with what it saw, once
// all have come or stdin ends.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, room, wanted] = process.argv.slice(2);
const latencies = [];
const socket = io(url, { transports: ["websocket"] });
const tell = () => {
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))];
  console.log(JSON.stringify({ count: latencies.length, p50: at(0.5), p99: at(0.99), max: at(1) }));
  process.exit(0);
};
socket.on("connect", () => socket.emit("join", room, () => console.log("joined")));
socket.on("said", (message) => {
  const now = process.hrtime.bigint();
  const stamp = /ebb~[0-9a-f]{8}~([0-9a-f]{16})/.exec(JSON.stringify(message));
  if (stamp) latencies.push(Number(now - BigInt(`0x${stamp[1]}`)) / 1e6);
  if (latencies.length >= Number(wanted)) tell();
});
createInterface({ input: process.stdin }).on("close", tell);
