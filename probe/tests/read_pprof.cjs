// Reads a profile with a decoder that is not ours (npm `pprof-format`) and prints what the tests
// compare, as JSON. Arguments: the folder that holds node_modules, the profile.
const { createRequire } = require('node:module');
const { readFileSync } = require('node:fs');
const { gunzipSync } = require('node:zlib');
const [folder, file] = process.argv.slice(2);
const { Profile } = createRequire(`${folder}/`)('pprof-format');

const profile = Profile.decode(gunzipSync(readFileSync(file)));
const text = (id) => profile.stringTable.strings[Number(id)];
const columns = profile.sampleType.map((type) => `${text(type.type)}/${text(type.unit)}`);
const mapped = new Map(profile.location.map((place) => [place.id, place.mappingId]));
const totals = columns.map(() => 0);
const liveObjectsBySize = {};
const agesBySize = {};
let samples = 0;
let strangers = 0;
for (const sample of profile.sample) {
  sample.value.forEach((value, column) => { totals[column] += Number(value); });
  const labels = Object.fromEntries(sample.label.map((label) => [text(label.key), Number(label.num)]));
  liveObjectsBySize[labels.bytes] = (liveObjectsBySize[labels.bytes] ?? 0) + Number(sample.value[2]);
  samples += labels.inuse_samples;
  if ('age' in labels) {
    const ages = (agesBySize[labels.bytes] ??= {});
    ages[labels.age] = (ages[labels.age] ?? 0) + labels.inuse_samples;
  }
  if (sample.locationId.some((id) => !mapped.has(id))) strangers += 1;
}
const first = Number(profile.sample[0]?.locationId[0] ?? 0);
console.log(JSON.stringify({
  columns,
  totals,
  liveObjectsBySize,
  agesBySize,
  samples,
  strangers,
  leafIsMapped: Number(mapped.get(first) ?? mapped.get(BigInt(first)) ?? 0) > 0,
  period: Number(profile.period),
  periodType: `${text(profile.periodType.type)}/${text(profile.periodType.unit)}`,
  shown: text(profile.defaultSampleType),
  comments: profile.comment.map(text),
  mappings: profile.mapping.map((map) => ({
    file: text(map.filename),
    start: Number(map.memoryStart),
    limit: Number(map.memoryLimit),
    offset: Number(map.fileOffset),
    buildId: text(map.buildId),
  })),
  buildIds: Object.fromEntries(profile.mapping.map((map) => [text(map.filename), text(map.buildId)])),
}));
