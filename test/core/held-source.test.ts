import { expect, test } from 'vitest';
import { WeightsError } from '../../src/core/errors.ts';
import { HeldSource } from '../../src/core/held-source.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';

function watched() {
  const source = memoryCheckpoint({
    a: { shape: [3], values: [1, 2, 3], dtype: 'F16' },
    b: { shape: [2], values: [4, 5] },
  });
  const reads: string[] = [];
  const held = new HeldSource({
    ...source,
    read: async (name, start, into) => {
      reads.push(`${name} ${start} ${into.byteLength}`);
      await source.read(name, start, into);
    },
  });
  return { held, reads, source };
}

test('reads each tensor once, whole, and gives parts of it', async () => {
  const { held, reads, source } = watched();
  expect(held.bytes).toBe(0);
  const [part, other, expected] = [new Uint8Array(2), new Uint8Array(4), new Uint8Array(6)];
  await Promise.all([held.read('a', 2, part), held.read('a', 0, other)]);
  await source.read('a', 0, expected);
  expect([part, other]).toEqual([expected.slice(2, 4), expected.slice(0, 4)]);
  await held.read('b', 4, part);
  expect(reads).toEqual(['a 0 6', 'b 0 8']);
  expect(held.bytes).toBe(8 + 8); // what the queue takes in words of 4 bytes
  expect(held.held('a')?.byteLength).toBe(6);
});

test('what failed is read again', async () => {
  const { held, reads, source } = watched();
  let fails = true;
  const flaky = new HeldSource({
    ...source,
    read: async (...args) => {
      if (fails) throw new WeightsError({ op: 'read', problem: 'the line is dead', path: 'memory' });
      await held.read(...args);
    },
  });
  await expect(flaky.hold('a')).rejects.toThrow('the line is dead');
  fails = false;
  expect((await flaky.hold('a')).byteLength).toBe(6);
  expect([flaky.bytes, reads]).toEqual([8, ['a 0 6']]);
});

test('refuses what is not there', async () => {
  const { held } = watched();
  await expect(held.hold('c')).rejects.toThrow('no tensor "c"');
  await expect(held.read('a', 4, new Uint8Array(4))).rejects.toThrow('bytes beyond the end of tensor "a"');
});
