/** PNG as it may be: every colour type, depth, filter and interlacing, against pngjs; and what must be refused. */
import { crc32, deflateSync } from 'node:zlib';
import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import { loadImage } from '../../src/io/load-image.ts';
import { readPng } from '../../src/io/png.ts';
import { decodeImage } from '../../src/node/images.ts';
import { Generator } from '../../src/schedulers/generator.ts';
import { pillow, pillowBytes, pillowImage, sha256 } from './pillow.ts';

interface Kind {
  readonly type: number;
  readonly depth: number;
  readonly samples: number;
  readonly interlace: 0 | 1;
}

const KINDS: Kind[] = [
  { type: 0, samples: 1, depths: [1, 2, 4, 8, 16] },
  { type: 2, samples: 3, depths: [8, 16] },
  { type: 3, samples: 1, depths: [1, 2, 4, 8] },
  { type: 4, samples: 2, depths: [8, 16] },
  { type: 6, samples: 4, depths: [8, 16] },
].flatMap(({ depths, ...kind }) =>
  depths.flatMap(depth => ([0, 1] as const).map(interlace => ({ ...kind, depth, interlace }))),
);
/** Column, row, and steps of the passes, as the standard's table has them. */
const ADAM7 = [
  { x: 0, y: 0, dx: 8, dy: 8 },
  { x: 4, y: 0, dx: 8, dy: 8 },
  { x: 0, y: 4, dx: 4, dy: 8 },
  { x: 2, y: 0, dx: 4, dy: 4 },
  { x: 0, y: 2, dx: 2, dy: 4 },
  { x: 1, y: 0, dx: 2, dy: 2 },
  { x: 0, y: 1, dx: 1, dy: 2 },
];

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(data.length + 12);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  out.set(data, 8);
  out.writeUInt32BE(crc32(out.subarray(4, data.length + 8)), data.length + 8);
  return out;
}

function file(width: number, height: number, kind: Kind, stream: Uint8Array, palette?: Uint8Array): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([kind.depth, kind.type, 0, 0, kind.interlace], 8);
  const half = stream.length >> 1;
  return new Uint8Array(
    Buffer.concat([
      Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
      chunk('IHDR', header),
      ...(palette ? [chunk('PLTE', palette)] : []),
      chunk('IDAT', stream.subarray(0, half)),
      chunk('IDAT', stream.subarray(half)),
      chunk('IEND', new Uint8Array()),
    ]),
  );
}

/** Filtered rows of random bytes: any bytes after a filter of 0 to 4 are a picture. */
function rows(width: number, height: number, kind: Kind, bytes: () => number): Uint8Array {
  const passes = kind.interlace ? ADAM7 : [{ x: 0, y: 0, dx: 1, dy: 1 }];
  const out: number[] = [];
  for (const { x, y, dx, dy } of passes) {
    const columns = Math.ceil((width - x) / dx);
    if (columns <= 0) continue;
    for (let r = y; r < height; r += dy) {
      out.push(bytes() % 5);
      for (let i = 0; i < Math.ceil((columns * kind.samples * kind.depth) / 8); i++) out.push(bytes());
    }
  }
  return Uint8Array.from(out);
}

/** The same with one filter in all rows. */
function filtered(width: number, height: number, kind: Kind, filter: number): Uint8Array {
  return rows(width, height, kind, () => filter); // filters and bytes alike
}

function random(seed: number): () => number {
  const values = new Generator(seed).randn([4096]);
  let at = 0;
  return () => Math.floor(Math.abs(values[at++ % values.length] ?? 0) * 1e6) % 256;
}

/** pngjs's pixels: its samples as stored, 16 bits cut to their high byte, fewer bits stretched to 255. */
function reference(bytes: Uint8Array, { depth, type }: Kind): number[] {
  const { data } = PNG.sync.read(Buffer.from(bytes), { skipRescale: true } as object) as { data: ArrayLike<number> };
  const scaled = (v: number) => (type === 3 ? v : depth === 16 ? v >> 8 : v * (255 / (2 ** depth - 1)));
  return Array.from(data, scaled).filter((_, i) => i % 4 !== 3);
}

describe('a PNG', () => {
  it.each(KINDS)('of colour type $type, $depth bits, interlacing $interlace is read as pngjs reads it', async kind => {
    const next = random(kind.type * 100 + kind.depth * 2 + kind.interlace);
    const palette = kind.type === 3 ? Uint8Array.from({ length: 3 * 2 ** kind.depth }, next) : undefined;
    for (const [width, height] of [
      [1, 1],
      [2, 5],
      [5, 3],
      [13, 9],
      [33, 17],
    ]) {
      const bytes = file(width, height, kind, deflateSync(rows(width, height, kind, next)), palette);
      const image = decodeImage(bytes);
      expect([image.width, image.height]).toEqual([width, height]);
      expect(Array.from(image.data), `${width} x ${height}`).toEqual(reference(bytes, kind));
      expect(await loadImage(bytes)).toEqual(image);
    }
  });

  it.each(pillow.png)('$file has the pixels of Pillow without a canvas', async c => {
    expect(sha256((await loadImage(pillowBytes(c.file))).data)).toBe(c.sha256);
  });

  it.each(pillow.jpeg)('beside JPEG: $file is the same by both ways', async c => {
    expect(await loadImage(pillowBytes(c.file))).toEqual(pillowImage(c.file));
  });

  const RGB: Kind = { type: 2, depth: 8, samples: 3, interlace: 0 };
  const raw = rows(40, 30, RGB, random(1));
  const both = async (bytes: Uint8Array): Promise<string[]> => {
    const message = (e: unknown) => (e instanceof Error ? `${e.name}: ${e.message}` : String(e));
    const one = await loadImage(bytes).then(() => 'loaded', message);
    try {
      decodeImage(bytes);
      return [one, 'loaded'];
    } catch (error) {
      return [one, message(error)];
    }
  };

  it('is refused where its stream ends too early, though every chunk is whole', async () => {
    const deflated = deflateSync(raw);
    for (const length of [2, 100, deflated.length - 200]) {
      for (const message of await both(file(40, 30, RGB, deflated.subarray(0, length))))
        expect(message).toMatch(/^InputError: loadImage: the PNG is damaged: /);
    }
    for (const message of await both(file(40, 30, RGB, deflateSync(raw.subarray(0, -1)))))
      expect(message).toMatch(/the PNG is damaged: the pixels are cut short/);
  });

  it.each(KINDS)(
    'of colour type $type, $depth bits, interlacing $interlace is refused short of one byte',
    async kind => {
      const palette = kind.type === 3 ? new Uint8Array(768) : undefined;
      const sizes = [
        [1, 1],
        [5, 3],
        [9, 9],
        [17, 4],
        [3, 8],
      ];
      for (const [filter, [width, height]] of sizes.entries()) {
        // One filter in all rows: what would be read beyond the end counts for the rows below too.
        const whole = filtered(width, height, kind, filter);
        const of = (length: number) => file(width, height, kind, deflateSync(whole.subarray(0, length)), palette);
        expect(await both(of(whole.length))).toEqual(['loaded', 'loaded']);
        for (const length of [whole.length - 1, 0])
          for (const message of await both(of(length))) expect(message).toMatch(/is damaged: the pixels are cut short/);
      }
    },
  );

  it('is refused before memory is taken where its bytes cannot hold the pixels that it claims', async () => {
    const deep: Kind = { type: 6, depth: 16, samples: 4, interlace: 0 };
    for (const claim of [file(13000, 13000, deep, deflateSync(raw)), file(1, 1, RGB, new Uint8Array())]) {
      expect(() => readPng(claim)).toThrow('loadImage: the PNG is damaged: the pixels are cut short');
      expect(new Set(await both(claim)).size).toBe(1);
    }
    // Nothing deflates better than zeros.
    const grey: Kind = { type: 0, depth: 8, samples: 1, interlace: 0 };
    const zeros = file(3000, 3000, grey, deflateSync(new Uint8Array(3000 * 3001), { level: 9 }));
    expect(await both(zeros)).toEqual(['loaded', 'loaded']);
  });

  it('is read where more follows the pixels', async () => {
    const more = deflateSync(Uint8Array.from([...raw, 0, 1, 2]));
    expect(await both(file(40, 30, RGB, more))).toEqual(['loaded', 'loaded']);
  });

  it('is refused where it holds what no PNG holds', async () => {
    const indexed: Kind = { type: 3, depth: 8, samples: 1, interlace: 0 };
    const cases: [RegExp, Uint8Array][] = [
      [/a header of 1, 1, 3, 2, 0, 0, 0/, file(1, 1, { ...RGB, depth: 3 }, deflateSync(raw))],
      [/a header of 0, 1, 8, 2/, file(0, 1, RGB, deflateSync(raw))],
      [/an unknown filter 7/, file(1, 1, RGB, deflateSync(Uint8Array.of(7, 1, 2, 3)))],
      [/no palette/, file(1, 1, indexed, deflateSync(Uint8Array.of(0, 1)))],
      [/the picture is too large/, file(65536, 65536, RGB, deflateSync(raw))],
    ];
    for (const [expected, bytes] of cases) for (const message of await both(bytes)) expect(message).toMatch(expected);
    const wrong = file(40, 30, RGB, deflateSync(raw));
    wrong[30] ^= 1;
    for (const message of await both(wrong)) expect(message).toMatch(/a wrong checksum of IHDR/);
  });
});
