// Letting people into a private room. In: a name, from a moderator. Out: a member more.
// Leaves to others: who may (the server decides), making the room (dialogs.js).

import { account } from "./account.js";
import { byId } from "./dom.js";
import { toast } from "./notices.js";

export class Invite {
  #chat;
  #form = byId("invite-form");
  #wrong = this.#form.querySelector(".wrong");

  constructor(chat) {
    this.#chat = chat;
    for (const name of ["opened", "connected"]) {
      chat.addEventListener(name, () => this.#look(chat.current));
    }
    this.#form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.#wrong.textContent = "";
      try {
        await this.#admit(byId("invite-name").value.trim());
      } catch (problem) {
        this.#wrong.textContent = problem.message;
      }
    });
  }

  /** Whether there is somebody to be let in, and whether it is up to us. */
  async #look(conversation) {
    this.#form.hidden = true;
    if (!account.isSignedIn || conversation.isDirect) return;
    try {
      const path = `/rooms/${encodeURIComponent(conversation.id)}`;
      const room = await account.call("GET", path);
      if (conversation !== this.#chat.current) return;
      this.#form.hidden = room.public || room.role !== "moderator";
    } catch { /* without an answer nobody is let in */ }
  }

  async #admit(name) {
    const { users } = await account.call("GET", `/users?prefix=${encodeURIComponent(name)}`);
    const user = users.find((one) => one.name.toLowerCase() === name.toLowerCase());
    if (!user) throw new Error(`nobody is called ${name}`);
    const room = this.#chat.current.id;
    const path = `/rooms/${encodeURIComponent(room)}/members/${user.id}`;
    await account.call("PUT", path, { role: "member" });
    this.#form.reset();
    toast({ title: `${user.name} may enter #${room} now.` });
  }
}
