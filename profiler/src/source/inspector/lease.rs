//! What is left in a Node process for the case that `ebb` ends without a word: a timer that counts
//! how long it has heard nothing, and then puts flags back and closes the inspector by itself. In:
//! nothing. Out: texts to evaluate. When they are is left to `session` and `wire`.
//!
//! It hangs on `process`, under a symbol of its own, does not keep the process alive, and counts
//! its own turns instead of time: a main thread that was busy for minutes has not missed any.

use std::time::Duration;

/// How often a session says that it is there.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Takes the lease, or takes it over: what the one before wanted closed, is to be closed still.
/// Twelve turns of five seconds without a word end it, once nobody is connected any more: closing
/// waits for whoever is, and would wait forever for one that is stopped at a terminal.
pub(super) const TAKE: &str = "\
(() => { const v8 = require('v8'), inspector = require('inspector'), fs = require('fs'); \
const key = Symbol.for('ebb.lease'), before = process[key]; \
if (before) clearInterval(before.timer); \
const told = process.execArgv.concat((process.env.NODE_OPTIONS ?? '').split(' ')); \
const off = told.map((word) => word.replaceAll('_', '-')); \
const put = (name) => { \
  if (!off.includes('--no-' + name) && !off.includes('--no' + name)) \
    v8.setFlagsFromString('--' + name); }; \
const lease = { missed: 0, closes: before?.closes ?? false }; \
lease.join = () => { put('turbo-inlining'); \
  if (parseInt(process.versions.v8) >= 12) put('maglev-inlining'); }; \
lease.end = () => { clearInterval(lease.timer); \
  if (process[key] === lease) delete process[key]; lease.join(); }; \
const taken = () => { const port = Number(new URL(inspector.url()).port); \
  return ['tcp', 'tcp6'].some((name) => { let text; \
    try { text = fs.readFileSync('/proc/self/net/' + name, 'latin1'); } \
    catch { return name === 'tcp'; } \
    return text.split('\\n').some((line) => { \
      const [, local, , state] = line.trim().split(/\\s+/); \
      return state === '01' && parseInt(local.split(':')[1], 16) === port; }); }); }; \
lease.timer = setInterval(() => { try { if (++lease.missed < 12) return; \
  if (inspector.url() && taken()) return; lease.end(); \
  if (lease.closes) inspector.close(); } catch {} }, 5000); \
lease.timer.unref(); \
Object.defineProperty(process, key, { value: lease, configurable: true }); \
return lease.closes; })()\n//# sourceURL=ebb:lease\n";

/// What it is to close in the end, it has opened.
pub(super) const CLOSES: &str = "\
(() => { process[Symbol.for('ebb.lease')].closes = true; return true; })()\n\
//# sourceURL=ebb:lease-closes\n";

/// A sign of life.
pub(super) const RENEW: &str = "\
(() => { const lease = process[Symbol.for('ebb.lease')]; if (lease) lease.missed = 0; \
return true; })()\n//# sourceURL=ebb:lease-renew\n";

/// Gives the lease back, and puts flags as they were.
pub(super) const GIVE_BACK: &str = "\
(() => { process[Symbol.for('ebb.lease')]?.end(); return true; })()\n\
//# sourceURL=ebb:lease-end\n";
