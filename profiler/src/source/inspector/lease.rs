//! What is left in a Node process for the case that `ebb` ends without a word: a timer that counts
//! how long it has heard nothing, and then puts flags back and closes the inspector by itself. In:
//! who takes it. Out: texts to evaluate. When they are is left to `session` and `wire`.
//!
//! It hangs on `process`, under a symbol of its own, does not keep the process alive, and counts
//! its own turns instead of time: a main thread that was busy for minutes has not missed any. Who
//! leaves ends what is its own, and nobody else's: two may come one right after the other.

use std::time::Duration;

/// How often a session says that it is there.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(5);

/// What both texts need. `held` tells whether somebody is connected to the inspector, `null` where
/// the kernel's table cannot be read. Closing sends a word to everybody who is there, and Node 20
/// was seen to die of it (4 times in 114) where one was leaving just then: what is written to it
/// is then written to freed memory. A row of inode 0 is one that Node has let go of.
const BASE: &str = "\
const inspector = require('inspector'), fs = require('fs'), v8 = require('v8'); \
const key = Symbol.for('ebb.lease'), before = process[key]; \
const held = () => { const port = Number(new URL(inspector.url()).port); \
  for (const name of ['tcp', 'tcp6']) { let text; \
    try { text = fs.readFileSync('/proc/self/net/' + name, 'latin1'); } \
    catch { if (name === 'tcp') return null; continue; } \
    for (const line of text.split('\\n')) { \
      const [, local = '', , state, , , , , , inode = '0'] = line.trim().split(/\\s+/); \
      if (state !== '0A' && inode !== '0' && parseInt(local.split(':')[1], 16) === port) \
        return true; } } \
  return false; };";

/// Takes the lease, or takes it over: what the one before wanted closed, is to be closed still.
/// Eleven turns of five seconds without a word end it, once nobody was connected for two of them:
/// closing waits for whoever is, and would wait forever for one that is stopped at a terminal.
const TAKE: &str = "\
if (before) clearInterval(before.timer); \
const told = process.execArgv.concat((process.env.NODE_OPTIONS ?? '').split(' ')); \
const off = told.map((word) => word.replaceAll('_', '-')); \
const put = (name) => { \
  if (!off.includes('--no-' + name) && !off.includes('--no' + name)) \
    v8.setFlagsFromString('--' + name); }; \
const lease = { token, missed: 0, quiet: 0, closes: closes || (before?.closes ?? false) }; \
lease.join = () => { put('turbo-inlining'); \
  if (parseInt(process.versions.v8) >= 12) put('maglev-inlining'); }; \
lease.end = () => { clearInterval(lease.timer); \
  if (process[key] === lease) delete process[key]; lease.join(); }; \
lease.timer = setInterval(() => { try { if (++lease.missed < 11) return; \
  if (!inspector.url()) return lease.end(); \
  lease.quiet = held() === false ? lease.quiet + 1 : 0; \
  if (lease.quiet < 2) return; \
  lease.end(); if (lease.closes) inspector.close(); } catch {} }, 5000); \
lease.timer.unref(); \
Object.defineProperty(process, key, { value: lease, configurable: true }); \
return lease.closes;";

/// Gives one's own lease back, puts flags as they were for what is compiled from now on, and
/// closes the inspector if it is to be closed, once two looks in a row saw nobody connected: often
/// in the first ten seconds, then seldom, since a server with many connections has a long table.
/// Where there is no table, 750 ms have to do: none of 179 died of as much. Until then it hangs
/// where the lease hung, and whoever takes the next one stops it.
const LEAVE: &str = "\
if (before && before.token !== token) return true; \
if (before) before.end(); \
if (!closes && !before?.closes) return true; \
const left = { token, turns: 0, quiet: 0, closes: true }; \
left.end = () => { clearInterval(left.timer); \
  if (process[key] === left) delete process[key]; }; \
const every = (pause) => { clearInterval(left.timer); \
  left.timer = setInterval(turn, pause); left.timer.unref(); }; \
const turn = () => { try { \
  if (!inspector.url()) return left.end(); \
  const is = held(); \
  left.quiet = is ? 0 : left.quiet + 1; \
  if (++left.turns === 40) every(5000); \
  if (left.quiet < (is === null ? 3 : 2)) return; \
  left.end(); inspector.close(); } catch {} }; \
every(250); \
Object.defineProperty(process, key, { value: left, configurable: true }); \
return true;";

/// A sign of life.
pub(super) const RENEW: &str = "\
(() => { const lease = process[Symbol.for('ebb.lease')]; if (lease) lease.missed = 0; \
return true; })()\n//# sourceURL=ebb:lease-renew\n";

/// Takes the lease under a name; tells whether the inspector is to be closed in the end.
pub(super) fn take(token: &str, closes: bool) -> String {
    format!(
        "((token, closes) => {{ {BASE} {TAKE} }})('{token}', {closes})\n\
         //# sourceURL=ebb:lease\n"
    )
}

/// Leaves: gives the lease of that name back, and closes the inspector. With a number, only in
/// the process that has it.
pub(super) fn leave(token: &str, closes: bool, pid: Option<u32>) -> String {
    let here = pid.map_or_else(|| "true".to_owned(), |pid| format!("process.pid === {pid}"));
    format!(
        "{here} && ((token, closes) => {{ {BASE} {LEAVE} }})('{token}', {closes})\n\
         //# sourceURL=ebb:lease-end\n"
    )
}
