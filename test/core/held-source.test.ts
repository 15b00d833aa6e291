import { expect, test } from 'vitest';
import { WeightsError } from '../../src/core/errors.ts';
import { HeldSource } from '../../src/core/held-source.ts';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';

/** Two tensors; every read is told to `onRead`, which may throw. */
function watched(onRead: (what: string) => void): TensorSource {
  const source = memoryCheckpoint({
    a: { shape: [3], values: [1, 2, 3], dtype: 'F16' },
    b: { shape: [2], values: [4, 5] },
  });
  return {
    ...source,
    read: async (name, start, into) => {
      onRead(`${name} ${start} ${into.byteLength}`);
      await source.read(name, start, into);
    },
  };
}

test('reads each tensor once, whole, and gives parts of it', async () => {
  const reads: string[] = [];
  const held = new HeldSource(watched(what => reads.push(what)));
  expect(held.bytes).toBe(0);
  const part = new Uint8Array(2);
  await held.read('a', 2, part);
  expect([...part]).toEqual([0, 0x40]);
  await held.read('a', 0, part);
  expect([...part]).toEqual([0, 0x3c]);
  const told: number[] = [];
  await held.holdAll(['a', 'b', 'b'], { onProgress: done => told.push(done) });
  await held.read('b', 4, part);
  expect([reads, held.bytes]).toEqual([['a 0 6', 'b 0 8'], 6 + 8]);
  expect(told.at(-1)).toBe(6 + 8 + 8);
});

test('two that ask at once get the same, which is held once', async () => {
  const held = new HeldSource(watched(() => undefined));
  const parts = [new Uint8Array(6), new Uint8Array(6)] as const;
  await Promise.all(parts.map(part => held.read('a', 0, part)));
  expect(parts[0]).toEqual(parts[1]);
  expect(held.bytes).toBe(6);
});

test('what failed, or was given up, is read again', async () => {
  let fails = true;
  const held = new HeldSource(
    watched(() => {
      if (fails) throw new WeightsError({ op: 'read', problem: 'the line is dead', path: 'memory' });
    }),
  );
  await expect(held.holdAll(['a'])).rejects.toThrow('the line is dead');
  fails = false;
  const controller = new AbortController();
  controller.abort(new Error('enough'));
  await expect(held.holdAll(['a'], { signal: controller.signal })).rejects.toThrow('enough');
  expect(held.bytes).toBe(0);
  await held.holdAll(['a']);
  expect(held.bytes).toBe(6);
});

test('refuses what is not there', async () => {
  const held = new HeldSource(watched(() => undefined));
  await expect(held.holdAll(['c'])).rejects.toThrow('no tensor "c"');
  await expect(held.read('a', 4, new Uint8Array(4))).rejects.toThrow('bytes beyond the end of tensor "a"');
});
