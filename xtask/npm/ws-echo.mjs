// A WebSocket client on npm `ws`, for `cargo xtask bench ws`: each connection sends a message,
// or some, and for each echo the next, until the time is over; then all are closed.
//
// In: URL, connections, seconds, message, messages in flight on each connection. Out: nothing; the
// target counts.
import WebSocket from "ws";

const [url, connections, seconds, message, flight = "1"] = process.argv.slice(2);
let over = false;
const sockets = Array.from({ length: Number(connections) }, () => {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.on("open", () => {
    for (let sent = 0; sent < Number(flight); sent++) socket.send(message);
  });
  socket.on("message", () => {
    if (over) socket.close();
    else socket.send(message);
  });
  return socket;
});
setTimeout(() => {
  over = true;
  // Whoever never opened must not keep the process.
  setTimeout(() => sockets.forEach((socket) => socket.terminate()), 1000).unref();
}, Number(seconds) * 1000);
