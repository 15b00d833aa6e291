/**
 * Damaged picture files, half of them damaged where no checksum and no length shows it. Each is read or refused by name:
 * no other error, the same every time, in bounded time and memory. All seeds run when PENTIMENTO_FULL is set.
 */
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { loadImage } from '../../src/io/load-image.ts';
import { decodeImage } from '../../src/node/images.ts';
import { allocated, poisonMemory } from '../support/allocations.ts';
import { Chance, damage } from '../support/damage.ts';
import { brought, broughtBytes } from './brought.ts';
import { damagedInside, damagedSegments } from './picture-damage.ts';
import { pillow, pillowBytes } from './pillow.ts';

const COUNT = process.env.PENTIMENTO_FULL ? 10_000 : 250;
const SLACK_BYTES = 64 * 2 ** 20;
const LIMIT_MS = 2000;

const PNG = [
  ...pillow.png.map(c => pillowBytes(c.file)),
  pillowBytes('noise.png'),
  broughtBytes('cases/p_pal_short.png'),
];
const JPEG = [
  ...pillow.jpeg.map(c => pillowBytes(c.file)),
  ...brought
    .filter(c => /^[^/]*(sequential|progressive|transform.*)\.jpg$/.test(c.file))
    .map(c => broughtBytes(c.file)),
];

const GIF = brought.filter(c => /\.gif$/.test(c.file)).map(c => broughtBytes(c.file));
const BMP = brought.filter(c => /\.bmp$/.test(c.file)).map(c => broughtBytes(c.file));

type Read = { image: RgbImage } | { refused: string };

function outcome({ value, error }: { value?: RgbImage; error?: unknown }, seed: number): Read {
  if (value) {
    expect(value.data.length, `seed ${seed}`).toBe(value.width * value.height * 3);
    return { image: value };
  }
  expect(error, `seed ${seed}`).toBeInstanceOf(InputError);
  return { refused: String(error) };
}

/** Reads a file by both ways, twice, with other things in the memory that is free. */
async function check(bytes: Uint8Array, seed: number): Promise<Read> {
  const { sizeBytes, elapsedMs, ...first } = await allocated(() => decodeImage(bytes));
  const read = outcome(first, seed);
  expect(elapsedMs, `seed ${seed}`).toBeLessThan(LIMIT_MS);
  const pixels = 'image' in read ? 32 * read.image.width * read.image.height : 0;
  expect(sizeBytes, `seed ${seed}`).toBeLessThan(16 * bytes.length + SLACK_BYTES + pixels);
  poisonMemory(`seed ${seed} `);
  const again = outcome(await allocated(() => loadImage(bytes)), seed);
  if ('image' in read && 'image' in again) {
    expect([again.image.width, again.image.height], `seed ${seed}`).toEqual([read.image.width, read.image.height]);
    expect(Buffer.compare(Buffer.from(again.image.data), Buffer.from(read.image.data)), `seed ${seed}`).toBe(0);
  } else expect(again, `seed ${seed}`).toEqual(read);
  return read;
}

describe.each([
  ['PNG', PNG, damagedInside],
  ['JPEG', JPEG, damagedSegments],
  // No checksum and hardly a length: any damage reaches the decoder.
  ['GIF', GIF, damage],
  ['BMP', BMP, damage],
] as const)('%s', (_, files, inside) => {
  it(`is read or refused, ${COUNT} times damaged`, async () => {
    const found = { opened: 0, refused: new Set<string>() };
    for (let seed = 0; seed < COUNT; seed++) {
      const chance = new Chance(seed);
      const file = chance.of(files);
      const read = await check(seed % 2 === 0 ? damage(file, chance) : inside(file, chance), seed);
      if ('image' in read) found.opened++;
      else found.refused.add(read.refused.replace(/\d+/g, 'n'));
    }
    // Neither does nothing reach the decoder, nor does everything pass.
    expect(found.opened).toBeGreaterThan(COUNT / 20);
    expect(found.opened).toBeLessThan(COUNT * 0.9);
    expect(found.refused.size).toBeGreaterThan(3);
  });
});
