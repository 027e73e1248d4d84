// A chat room on npm `socket.io`, for `cargo xtask bench server`: `room:join` and `message:send` as
// `ebb serve` takes them, `message:new` to everyone in the room. In: nothing. Out: `listening on PORT`.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http);
let seq = 0;
io.on("connection", (socket) => {
  socket.on("room:join", ({ room }, done) => { socket.join(room); done({ room }); });
  socket.on("message:send", ({ room, content }) => {
    seq += 1;
    io.to(room).emit("message:new", { id: seq, room, seq, content, timestamp: Date.now() });
  });
});
http.listen(0, "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
