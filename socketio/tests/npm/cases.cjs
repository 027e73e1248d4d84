// Runs named cases one after the other, each within a bound, and says how it went. Used by the
// other scripts of this folder; the test that starts them reads the last line.
const LIMIT_MS = 20000;

exports.check = (is, what) => { if (!is) throw new Error(what); };

exports.same = (found, expected) => {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found ${a}, expected ${b}`);
};

exports.run = async (name, cases) => {
  let failed = 0;
  for (const [title, body] of cases) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('took too long')), LIMIT_MS);
    });
    try {
      await Promise.race([body(), late]);
      console.log(`ok ${name}: ${title}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}: ${title}: ${error.stack}`);
    }
    clearTimeout(timer);
  }
  console.log(`${name}: ${cases.length - failed} of ${cases.length}`);
  return failed;
};
