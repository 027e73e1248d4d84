// The page's beginning: the parts are made and joined. In: the document. Out: a chat that connects
// by itself.

import { account } from "./account.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { prepareDialogs, prepareProfile, prepareRooms } from "./dialogs.js";
import { Invite } from "./invite.js";
import { Messages } from "./messages.js";
import { Notices } from "./notices.js";
import { Sidebar, closeDrawers, prepareDrawers } from "./sidebar.js";

const chat = new Chat();
const sidebar = new Sidebar(chat);
new Messages(chat);
new Notices(chat);
new Invite(chat);
const composer = new Composer(chat);
prepareDialogs();
prepareDrawers();
prepareProfile(chat, () => sidebar.draw());
prepareRooms(chat);

account.changed = () => {
  sidebar.draw();
  chat.restart();
};

// From one conversation to the next without leaving the message box.
document.addEventListener("keydown", (event) => {
  if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
  event.preventDefault();
  const ids = [...chat.conversations.keys()];
  const step = event.key === "ArrowUp" ? -1 : 1;
  const place = ids.indexOf(chat.current.id) + step;
  chat.open(ids.at(place % ids.length));
  closeDrawers();
});

// On a phone the keyboard would slide in over a page that nobody has seen yet.
if (matchMedia("(hover: hover)").matches) composer.focus();
chat.start();
