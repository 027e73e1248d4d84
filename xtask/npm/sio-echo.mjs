// A Socket.IO client on npm `socket.io-client`, for `cargo xtask bench socketio`: each connection
// emits an `echo`, and for each acknowledgement the next, until the time is over; then all
// disconnect.
//
// In: URL, connections, seconds, the event's argument as JSON. Out: nothing; the server counts.
import { io } from "socket.io-client";

const [url, connections, seconds, argument] = process.argv.slice(2);
const payload = JSON.parse(argument);
let over = false;
const sockets = Array.from({ length: Number(connections) }, () => {
  const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
  const next = () => {
    if (over) socket.disconnect();
    else socket.emit("echo", payload, next);
  };
  socket.on("connect", next);
  return socket;
});
setTimeout(() => {
  over = true;
  // Whoever never connected must not keep the process.
  setTimeout(() => sockets.forEach((socket) => socket.disconnect()), 1000).unref();
}, Number(seconds) * 1000);
