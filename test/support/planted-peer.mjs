// A peer's process that behaves as its last argument but the runner's says: node planted-peer.mjs BEHAVIOUR NAME --folder ...
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [behaviour, name] = process.argv.slice(2);
const adapter = { vendor: 'test', architecture: 'software', device: 'planted', description: 'planted 1.0' };
const say = answer => process.stdout.write(`${JSON.stringify(answer)}\n`);
const asked = JSON.parse(process.argv[process.argv.indexOf('--adapter') + 1] ?? '{}');

if (behaviour.startsWith('alive:')) writeFileSync(behaviour.slice(6), String(process.pid));
let opened = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { ask, row } = JSON.parse(line);
  if (ask === 'hello') {
    if (behaviour === 'other-adapter') say({ missing: `the race is on ${asked.device}` });
    else say({ hello: name, package: `planted-${name}`, version: '1.2.3', adapter, driverName: 'planted' });
    continue;
  }
  if (ask === 'sample') {
    if (behaviour === 'crashes-in-sample') process.kill(process.pid, 'SIGKILL');
    say({ ms: 4, cpu: 0.002 });
    continue;
  }
  opened++;
  if (behaviour === 'crashes' && row.name === 'fatal') {
    process.stderr.write('Warning: maxDynamicUniform artificially reduced from 2 to 1 to fit\nthe device is gone\n');
    process.kill(process.pid, 'SIGKILL');
  }
  if (behaviour === 'ends') process.exit(3);
  if (behaviour.startsWith('alive:')) continue;
  if (behaviour === 'chatters') console.log('hello from a library');
  if (behaviour === 'falls-back') process.stderr.write('INFO:   Using "llvmpipe" with driver: "libvulkan_lvp.so"\n');
  if (behaviour === 'lacks') say({ missing: `no ${row.op}` });
  else if (behaviour === 'wrong') say({ opened: true, firstMs: 5, error: 0.5, form: 'planted', wrong: true });
  else if (behaviour === 'throws') say({ failed: 'shader: no such function' });
  else say({ opened: true, firstMs: 5 + opened, error: 1e-7, form: 'planted' });
}
process.exit(0);
