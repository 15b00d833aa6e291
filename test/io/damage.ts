/** Damaged picture files by seed: as a bad disk or network leaves them, and as somebody makes them who wants to be read. */
import { crc32, deflateSync, inflateSync } from 'node:zlib';

/** Whole numbers below a bound, the same for the same seed. @see Marsaglia 2003, xorshift */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.below(2);
  }

  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % bound;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** Values at which programs go wrong. */
const EDGES = [0, 1, 2, 7, 8, 15, 16, 63, 64, 127, 128, 200, 254, 255];

/** One to eight changes anywhere: bits, bytes, pieces lost, doubled, swapped in from elsewhere, and the end cut off. */
export function damaged(bytes: Uint8Array, dice: Dice): Uint8Array {
  let out = bytes.slice();
  for (let n = 1 + dice.below(8); n > 0 && out.length > 4; n--) {
    const at = dice.below(out.length);
    const length = 1 + dice.below(Math.min(40, out.length - at));
    const piece = out.slice(at, at + length);
    const to = dice.below(out.length);
    const ways = [
      () => out.fill(out[at] ^ (1 << dice.below(8)), at, at + 1),
      () => out.fill(dice.pick(EDGES), at, at + 1),
      () => out.fill(dice.below(256), at, at + length),
      () => join(out.subarray(0, at), out.subarray(at + length)),
      () => join(out.subarray(0, to), piece, out.subarray(to)),
      () => join(out.subarray(0, to), piece, out.subarray(to + length)),
      () => (dice.below(4) === 0 ? out.slice(0, at) : out),
    ];
    out = Uint8Array.from(dice.pick(ways)());
  }
  return out;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

interface Chunk {
  type: string;
  data: Uint8Array;
}

/** Damage inside the chunks of a PNG, in its header, its stream or its rows; lengths and checksums are right again. */
export function damagedInside(png: Uint8Array, dice: Dice): Uint8Array {
  const chunks = chunksOf(png);
  const streams = chunks.filter(chunk => chunk.type === 'IDAT').map(chunk => chunk.data);
  const way = dice.below(4);
  if (way === 0) {
    const chunk = dice.pick(chunks);
    chunk.data = damaged(chunk.data, dice);
  } else if (way === 1) {
    const header = chunks[0].data;
    header[dice.below(header.length)] = dice.pick(EDGES);
  } else {
    const whole = join(...streams);
    // Rows that are damaged and deflated anew, or the deflated stream itself.
    const rows = way === 2 ? damaged(new Uint8Array(inflateSync(whole)), dice) : undefined;
    const stream = rows ? new Uint8Array(deflateSync(rows)) : damaged(whole, dice);
    chunks.splice(
      chunks.findIndex(chunk => chunk.type === 'IDAT'),
      streams.length,
      { type: 'IDAT', data: stream },
    );
  }
  return join(png.subarray(0, 8), ...chunks.map(written));
}

function chunksOf(png: Uint8Array): Chunk[] {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const chunks: Chunk[] = [];
  for (let at = 8; at + 12 <= png.length; at += 12 + view.getUint32(at)) {
    const type = String.fromCharCode(...png.subarray(at + 4, at + 8));
    chunks.push({ type, data: png.slice(at + 8, at + 8 + view.getUint32(at)) });
  }
  return chunks;
}

function written({ type, data }: Chunk): Uint8Array {
  const out = Buffer.alloc(data.length + 12);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  out.set(data, 8);
  out.writeUInt32BE(crc32(out.subarray(4, data.length + 8)), data.length + 8);
  return out;
}

/** Damage inside the segments or the scans of a JPEG; lengths are right, and no marker stands where none belongs. */
export function damagedSegments(jpeg: Uint8Array, dice: Dice): Uint8Array {
  const { segments, tail } = segmentsOf(jpeg);
  const way = dice.below(3);
  if (way < 2 && segments.length > 0) {
    const segment = dice.pick(segments);
    const data = way === 0 ? damaged(segment.data, dice) : segment.data.slice();
    if (way === 1 && data.length > 0) data[dice.below(data.length)] = dice.pick(EDGES);
    segment.data = data.subarray(0, 65_000);
  }
  const scan = way === 2 ? stuffed(damaged(tail, dice)) : tail;
  const heads = segments.map(({ marker, data }) =>
    join(Uint8Array.of(0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255), data),
  );
  return join(jpeg.subarray(0, 2), ...heads, scan);
}

/** The segments up to the first scan's header, and the rest. */
function segmentsOf(jpeg: Uint8Array): { segments: { marker: number; data: Uint8Array }[]; tail: Uint8Array } {
  const segments: { marker: number; data: Uint8Array }[] = [];
  let at = 2;
  for (let marker = 0; marker !== 0xda && at + 4 <= jpeg.length; ) {
    marker = jpeg[at + 1];
    const length = jpeg[at + 2] * 256 + jpeg[at + 3];
    segments.push({ marker, data: jpeg.slice(at + 4, at + 2 + length) });
    at += 2 + length;
  }
  return { segments, tail: jpeg.subarray(at) };
}

/** Bytes of a scan: after 255 a 0, unless a marker of restart or end stands there. */
function stuffed(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  for (let i = 0; i + 1 < out.length; i++) {
    const next = out[i + 1];
    if (out[i] === 0xff && !(next >= 0xd0 && next <= 0xd9)) out[i + 1] = 0;
  }
  return join(out, Uint8Array.of(0xff, 0xd9));
}
