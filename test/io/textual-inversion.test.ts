import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PentimentoError } from '../../src/core/errors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { readTextualInversion } from '../../src/io/textual-inversion.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { Chance, damage } from '../support/damage.ts';

/** Each file with the word that it names and the shape of its vectors. */
const FILES = [
  ['cat-toy.bin', '<cat-toy>', [48]],
  ['half.bin', '<half>', [2, 48]],
  ['dog.safetensors', '<dog>', [3, 48]],
  ['charturner.pt', 'charturner', [2, 48]],
  ['first-kind.pt', undefined, [1, 48]],
  ['bad-hands.safetensors', undefined, [2, 48]],
] as const;
const bytesOf = (name: string) => new Uint8Array(readFileSync(goldenPath(`textual-inversion/${name}`)));
const DAMAGED = process.env.PENTIMENTO_FULL ? 2000 : 40;

describe.each(FILES)('%s', (name, token, shape) => {
  it('is read by its content, and closed', async () => {
    let closed = 0;
    const bytes = { ...memorySource(bytesOf(name), 'any.name'), close: async () => void closed++ };
    const { vectors, ...rest } = await readTextualInversion(bytes);
    expect({ ...rest, shape: vectors.shape }).toEqual({ token, label: 'any.name', shape });
    expect(vectors.data.every(Number.isFinite)).toBe(true);
    expect(closed).toBe(1);
  });

  it('is read or refused, and closed, however it is damaged', async () => {
    const chance = new Chance(23);
    const whole = bytesOf(name);
    for (let i = 0; i < DAMAGED; i++) {
      let closed = 0;
      const bytes = { ...memorySource(damage(whole, chance)), close: async () => void closed++ };
      const result = await readTextualInversion(bytes).catch((error: unknown) => error);
      if (!(result instanceof PentimentoError)) expect(result, `${name}, ${i}`).toHaveProperty('vectors');
      expect(closed, `${name}, ${i}`).toBe(1);
    }
  });
});

it('a file too large for an embedding is refused unread', async () => {
  let reads = 0;
  const bytes = { label: 'model.safetensors', byteLength: 4e9, read: async () => void reads++, close: async () => {} };
  await expect(readTextualInversion(bytes)).rejects.toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: loadTextualInversion: the file is too large for an embedding: expected at most 64 MiB, got 4000000000 bytes (model.safetensors). Name a file of textual inversion: diffusers' learned_embeds, or one of the AUTOMATIC1111 web UI.]`,
  );
  expect(reads).toBe(0);
});
