// What the server's messages mean. In: objects as they come, of rooms and of private
// conversations. Out: the parts that the page works with.
// Leaves to others: where they stand (conversation.js), what is in their text (markdown.js).

/** @returns what a conversation keeps of a message */
export function read(data, isDirect, isOwn) {
  const { key, content, timestamp } = data;
  return {
    kind: "said", author: data.user?.name ?? data.username ?? "somebody",
    content: String(content ?? ""), at: Number(timestamp) || Date.parse(timestamp) || Date.now(),
    seq: place(data, isDirect), key, isOwn,
  };
}

/** Number of the author's account; undefined for a guest. */
export function authorId({ user, from }) {
  return user?.id ?? from;
}

/** Where the pages of a conversation's history are, from the newest or from before a number. */
export function historyPath({ id, title, isDirect }, limit, before) {
  const path = isDirect
    ? `/messages/direct?with=${encodeURIComponent(title)}&`
    : `/rooms/${encodeURIComponent(id)}/messages?`;
  return `${path}limit=${limit}${before === undefined ? "" : `&before=${before}`}`;
}

/** The number that orders a message among those of its conversation; undefined for none. */
export function place({ id, seq }, isDirect) {
  const number = isDirect ? id : seq;
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
}

/** Whether a text names somebody with an `@`. */
export function mentions(text, name) {
  const at = text.toLowerCase().indexOf(`@${name.toLowerCase()}`);
  if (at < 0) return false;
  const behind = text[at + name.length + 1] ?? " ";
  return !/[\p{L}\p{N}_]/u.test(behind);
}
