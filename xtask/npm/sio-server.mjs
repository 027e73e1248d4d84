// A server on npm `socket.io` that shows what a client does: rooms, acknowledgements, bytes,
// disconnects of every kind. For tests and `cargo xtask bench socketio`.
//
// In: a port, 0 for a free one. Out: `listening on PORT`, then one line of JSON for each thing that
// happened when the second argument is `log`; `echo` events are counted and told for each line on
// stdin, as `<events> <nanoseconds from the first to the last>`.
import { fstatSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const [port = "0", mode = ""] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { maxHttpBufferSize: 1e7 });
const log = (what) => mode === "log" && console.log(JSON.stringify(what));
let echoes = 0;
let first = 0n;
let last = 0n;

function serve(socket) {
  log({ event: "connection", namespace: socket.nsp.name, auth: socket.handshake.auth,
        query: socket.handshake.query.who, transport: socket.conn.transport.name });
  socket.conn.on("upgrade", (transport) => log({ event: "upgrade", transport: transport.name }));
  socket.on("disconnect", (reason) => log({ event: "disconnect", reason }));
  socket.on("join", (room, done) => { socket.join(room); done?.({ joined: room }); });
  socket.on("say", (room, message) => socket.nsp.to(room).emit("said", message));
  socket.on("bytes", (bytes, done) => {
    log({ event: "bytes", length: bytes.length, last: bytes[bytes.length - 1] });
    done(bytes);
  });
  socket.on("echo", (payload, done) => {
    last = process.hrtime.bigint();
    if (echoes++ === 0) first = last;
    done?.(payload);
  });
  socket.on("ask me", () => socket.emit("question", 7, () => log({ event: "answered" })));
  socket.on("send me away", () => socket.disconnect(true));
  socket.on("cut me off", () => socket.conn.close());
  socket.on("never", () => {});
}
io.on("connection", serve);
io.of("/chat").on("connection", serve);
io.of("/closed").use((socket, next) => next(new Error("not for you")));

createInterface({ input: process.stdin })
  .on("line", () => {
    console.log(`${echoes} ${last - first}`);
    echoes = 0;
  })
  // Whoever holds the other end of a pipe is gone then; `ebb run` gives none, but /dev/null.
  .on("close", () => fstatSync(0).isCharacterDevice() || process.exit(0));
http.listen(Number(port), "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
