/** What test/package/tuning-page.test.ts does in a page: a device, its own table, and what is kept of it. */
import { Gpu } from '/dist/index.js';
import { keepTuning, keptTuning, listKeptTuning, removeKeptTuning, tune } from '/dist/tuning.js';

let gpu;
const device = async () => {
  gpu ??= await Gpu.request();
  return gpu;
};
const side = { pitch: 64, storage: 'f32' };
const problems = [{ op: 'softmax', problem: { rows: 4, width: 64, x: side, y: side } }];

/** Measures one problem, keeps the table, and requests a device by it. */
export async function roundTrip() {
  const { caps } = await device();
  const before = await keptTuning(caps);
  const table = await tune(gpu, problems);
  const name = await keepTuning(table);
  const kept = await keptTuning(gpu);
  const tuned = await Gpu.request({ tuning: 'kept' });
  const { tuning } = tuned;
  tuned.dispose();
  const same = [kept, tuning].every(found => JSON.stringify(found) === JSON.stringify(table));
  return { before: before === undefined, name, same, choices: table.choices.length, clock: table.clock };
}

/** What is there in a page that was loaded anew. */
export async function again() {
  const kept = await keptTuning(await device());
  const listed = await listKeptTuning();
  return { kept: kept?.choices.length, listed: listed.map(({ name, problem }) => [name, problem ?? 'good']) };
}

/** Puts something else in the table's place. */
export async function damage(name, value) {
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open('pentimento', 1);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const transaction = database.transaction('tuning', 'readwrite');
  transaction.objectStore('tuning').put(value, name);
  await new Promise(resolve => (transaction.oncomplete = resolve));
  database.close();
  const warnings = [];
  const kept = await keptTuning(await device(), { onWarning: text => warnings.push(text) });
  return { kept: kept === undefined, warnings };
}

export const remove = async name => [
  await removeKeptTuning(name),
  await removeKeptTuning(name),
  await listKeptTuning(),
];
