/** What the machine can still give, and a process that may not have more. */
import { spawn } from 'node:child_process';
import { freemem } from 'node:os';
import { expect, it } from 'vitest';
import { hostMemory } from '../../src/node/host-memory.ts';

const MIB = 2 ** 20;
const files = (limit: string, sizeKb: number) => (name: 'limits' | 'status') =>
  name === 'limits'
    ? `Limit                     Soft Limit           Hard Limit           Units\nMax address space         ${limit}           unlimited            bytes\n`
    : `Name:\tnode\nVmPeak:\t 9999999 kB\nVmSize:\t ${sizeKb} kB\n`;

it('is what a limit of addresses leaves, less what a driver needs', () => {
  expect(hostMemory(files(String(1000 * MIB), 600 * 1024))(0)).toBe(400 * MIB - 256 * MIB);
  expect(hostMemory(files(String(700 * MIB), 600 * 1024))(0)).toBe(0);
});

it('is what the machine has free where there is no limit, less what was promised and not yet written', () => {
  for (const read of [files('unlimited', 600 * 1024), () => undefined]) {
    const available = hostMemory(read);
    const free = available(0);
    expect(free).toBeLessThan(freemem());
    expect(free).toBeGreaterThan(0);
    // Others use the machine too.
    expect(free - available(400 * MIB)).toBeGreaterThan(100 * MIB);
    expect(available(2 ** 45)).toBe(0);
  }
});

it('a process that may not have more gets an error where the driver would end it', async () => {
  const script = `
      import { requestGpu } from './src/node/device.ts';
      import { createStorage } from './src/gpu/buffer.ts';
      const gpu = await requestGpu();
      try {
        for (let i = 0; i < 40; i++) createStorage(gpu, 128 * 2 ** 20, 'slab ' + i);
      } catch (error) {
        console.log(JSON.stringify(error.toJSON()));
      }
      await gpu.idle();
      process.exit(7);`;
  const node = `"${process.execPath}" --import ./test/support/run-typescript.mjs --input-type=module --eval "$SCRIPT"`;
  const child = spawn('bash', ['-c', `ulimit -v 2500000; exec ${node}`], { env: { ...process.env, SCRIPT: script } });
  let said = '';
  child.stdout.on('data', text => {
    said += text;
  });
  const code = await new Promise(done => child.on('close', (exit, signal) => done(signal ?? exit)));
  expect(code).toBe(7);
  const { class: name, bytes } = JSON.parse(said);
  expect(name).toBe('OutOfMemoryError');
  expect(bytes.asked).toBe(128 * MIB);
  expect(bytes.available).toBeLessThan(128 * MIB);
  expect(bytes.held % (128 * MIB)).toBe(0);
});
